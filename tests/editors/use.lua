-- Uses the features of the language server as a person does, and prints what the editor then has, as JSON.
local found = {}
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
found.diagnostics = vim.tbl_map(function(each) return each.code end, vim.diagnostic.get(0))
found.hover = request("textDocument/hover", 3, 9).contents.value

vim.api.nvim_win_set_cursor(0, { 10, 17 })
vim.lsp.buf.definition()
until_true(function() return vim.api.nvim_win_get_cursor(0)[1] == 7 end)
found.definition = vim.api.nvim_win_get_cursor(0)

vim.lsp.buf.rename("stored")
until_true(function() return line(10):find("stored") ~= nil end)
found.renamed = { line(7), line(10) }

vim.api.nvim_win_set_cursor(0, { 9, 55 })
vim.lsp.buf.code_action({ apply = true })
until_true(function() return line(9):find("blob_type:") ~= nil end)
found.fixed = line(9)
until_true(function() return #vim.diagnostic.get(0) == 0 end)
found.left = #vim.diagnostic.get(0)

vim.api.nvim_win_set_cursor(0, { 10, 0 })
vim.api.nvim_set_current_line("output: {$step: stored, path: ")
found.completed = vim.tbl_map(function(each) return each.label end, request("textDocument/completion", 9, 30).items)
print(vim.json.encode(found))
vim.cmd("qa!")
