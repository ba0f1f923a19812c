"use strict";

// Starts `stepflow lsp` for YAML and JSON files; the server leaves those alone that are no flows.

const vscode = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

/** @type {LanguageClient | undefined} */
let client;

async function start() {
  const settings = vscode.workspace.getConfiguration("stepflow");
  const args = ["lsp", ...(settings.get("typeCheck") ? ["--type-check"] : [])];
  const server = { command: settings.get("command"), args };
  client = new LanguageClient("stepflow", "Stepflow", server, {
    initializationOptions: { server: settings.get("server") || null, runCases: vscode.workspace.isTrusted },
    documentSelector: ["yaml", "json"].map((language) => ({ scheme: "file", language })),
    synchronize: {
      fileEvents: vscode.workspace.createFileSystemWatcher("**/{stepflow-components.json,stepflow.toml,pyproject.toml}"),
    },
  });
  try {
    await client.start();
  } catch (error) {
    client = undefined;
    vscode.window.showErrorMessage(
      `Stepflow: ${server.command} lsp does not start (${error.message}). ` +
        "Install it with pip install 'stepflow-cli[lsp]', and set stepflow.command to its path.",
    );
  }
}

async function stop() {
  const running = client;
  client = undefined;
  await running?.stop();
}

async function restart() {
  await stop();
  await start();
}

/** Runs a test case: the code lens passes the arguments of `stepflow test`, with the file first. */
async function runCase(file, ...args) {
  await vscode.workspace.textDocuments.find((document) => document.uri.fsPath === file)?.save();
  const command = vscode.workspace.getConfiguration("stepflow").get("command");
  const run = new vscode.ProcessExecution(command, ["test", file, ...args]);
  const scope = vscode.workspace.getWorkspaceFolder(vscode.Uri.file(file)) ?? vscode.TaskScope.Workspace;
  await vscode.tasks.executeTask(new vscode.Task({ type: "stepflow" }, scope, args.at(-1), "stepflow test", run));
}

exports.activate = async (context) => {
  context.subscriptions.push(
    vscode.commands.registerCommand("stepflow.restart", restart),
    vscode.commands.registerCommand("stepflow.runCase", runCase),
    vscode.workspace.onDidGrantWorkspaceTrust(restart),
    vscode.workspace.onDidChangeConfiguration((event) => event.affectsConfiguration("stepflow") && restart()),
  );
  await start();
};

exports.deactivate = stop;
