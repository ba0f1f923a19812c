-- Uses the language server's features like a user, and prints the editor's state as JSON.
local results = {}
local function until_true(condition) vim.wait(30000, condition, 50) end
local function line(number) return vim.fn.getline(number) end
local function request(method, row, column)
  local params = {
    textDocument = vim.lsp.util.make_text_document_params(),
    position = { line = row, character = column },
  }
  for _, each in pairs(vim.lsp.buf_request_sync(0, method, params, 30000) or {}) do
    return each.result
  end
end

vim.cmd.edit("flow.yaml")
until_true(function() return #vim.diagnostic.get(0) > 0 end)
results.diagnostics = vim.tbl_map(function(each) return each.code end, vim.diagnostic.get(0))
results.hover = request("textDocument/hover", 3, 9).contents.value

vim.api.nvim_win_set_cursor(0, { 10, 17 })
vim.lsp.buf.definition()
until_true(function() return vim.api.nvim_win_get_cursor(0)[1] == 7 end)
results.definition = vim.api.nvim_win_get_cursor(0)

vim.lsp.buf.rename("stored")
until_true(function() return line(10):find("stored") ~= nil end)
results.renamed = { line(7), line(10) }

vim.api.nvim_win_set_cursor(0, { 9, 55 })
vim.lsp.buf.code_action({ apply = true })
until_true(function() return line(9):find("blob_type:") ~= nil end)
results.fixed = line(9)
until_true(function() return #vim.diagnostic.get(0) == 0 end)
results.left = #vim.diagnostic.get(0)

vim.api.nvim_win_set_cursor(0, { 10, 0 })
vim.api.nvim_set_current_line("output: {$step: stored, path: ")
results.completed = vim.tbl_map(function(each) return each.label end, request("textDocument/completion", 9, 30).items)
print(vim.json.encode(results))
vim.cmd("qa!")
