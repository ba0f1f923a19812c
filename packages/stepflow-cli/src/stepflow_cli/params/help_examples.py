"""The examples at the top of each command's help page.

They are only imported to show help, and tests run all of them. Lines must fit on a 60-column terminal, so shorten run
IDs to a prefix, and use shell variables for flow and blob IDs.
"""

from __future__ import annotations

import click

_EXAMPLES_TEXT = """
#
stepflow run hello.yaml --input-json '{"name": "W"}'
stepflow batch hello.yaml names.jsonl
stepflow runs get 01a2b3c4
stepflow serve
# run
stepflow run hello.yaml --input-json '{"name": "W"}'
echo '{"name": "W"}' | stepflow run hello.yaml
stepflow run hello.yaml --example ada --reuse @last
# batch
stepflow batch hello.yaml names.jsonl
stepflow batch hello.yaml names.csv -O out.csv
stepflow batch hello.yaml names.csv --limit 2 --retry 2
# submit
stepflow submit hello.yaml --input name.json
stepflow submit hello.yaml --example ada --detach
# new
stepflow new greeting
stepflow new flows/fan_out.yaml --template map
stepflow new shop/price --template worker
# validate
stepflow validate --offline flows/
stepflow validate hello.yaml --type-check
stepflow validate hello.yaml -o sarif
# infer
stepflow infer hello.yaml
stepflow infer hello.yaml --offline -O typed.yaml
stepflow infer hello.yaml --show-step-inputs -o json
# test
stepflow test hello.yaml
stepflow test flows/ --case 'gra*' --diff
stepflow test flows/ --coverage --junit report.xml
# eval
stepflow eval hello.yaml --score exact
stepflow eval hello.yaml --cases names.csv -O eval/
stepflow eval hello.yaml --variant v2=flows/hello.yaml
# visualize
stepflow visualize hello.yaml -O hello.svg
stepflow visualize hello.yaml -o mermaid
# codegen
stepflow codegen hello.yaml -O flows.py
stepflow codegen hello.yaml -O flows.py --check
# convert
stepflow convert hello.yaml -O hello.json
stepflow convert hello.py:hello -O hello.yaml --check
# lsp
stepflow lsp
stepflow lsp --type-check
# schema
stepflow schema -O flow.schema.json
stepflow schema --local
stepflow schema config
# components
stepflow components list
stepflow components lock
stepflow components call /builtin/noop --input-json 1
# components list
stepflow components list
stepflow components list --fields name,description
# components lock
stepflow components lock
stepflow components lock -O lock.json
stepflow components lock --check
# components stubs
stepflow components stubs --only '/builtin/*' -O all.py
stepflow components stubs --local --only '/builtin/*'
# components call
stepflow components call /builtin/noop --input-json 1
stepflow components call /builtin/noop < name.json
# list-components
stepflow list-components
stepflow list-components --fields name,description
# mcp
stepflow mcp serve hello.yaml
stepflow mcp config hello.yaml --client claude-code
# mcp serve
stepflow mcp serve hello.yaml
stepflow mcp serve . --tools runs,diagnose
# mcp config
stepflow mcp config . --client claude-code
stepflow mcp config hello.yaml --client codex
# ui
stepflow ui
stepflow ui --port 8080 --no-open
# serve
stepflow serve
stepflow serve --config stepflow-config.yml
stepflow serve --port 0 -o json
# repl
stepflow repl
stepflow repl --url http://localhost:7837
# health
stepflow health
stepflow health --url http://localhost:7837 -o json
# doctor
stepflow doctor
stepflow doctor --url http://localhost:7837 --no-run
# completion
eval "$(stepflow completion bash)"
stepflow completion fish > stepflow.fish
# help
stepflow help run
stepflow help runs list
# version
stepflow version
stepflow -V
# flows
stepflow flows store hello.yaml
stepflow flows list
stepflow flows get $FLOW_ID
# flows list
stepflow flows list
stepflow flows list --since 1h --fields name,runs
# flows store
stepflow flows store hello.yaml
FLOW_ID=$(stepflow flows store hello.yaml -o name)
# flows get
stepflow flows get $FLOW_ID
stepflow flows get $FLOW_ID -O flow.json
stepflow flows get hello.yaml --examples
stepflow flows get hello.yaml --variables -o json
# flows delete
stepflow flows delete $FLOW_ID
stepflow flows delete --yes $FLOW_ID
# blobs
stepflow blobs put picture.png
stepflow blobs get $BLOB_ID -O picture.png
# blobs put
stepflow blobs put picture.png
echo '[1, 2]' | stepflow blobs put --type data -
BLOB_ID=$(stepflow blobs put name.json -o name)
# blobs get
stepflow blobs get $BLOB_ID
stepflow blobs get $BLOB_ID -O picture.png
# config
stepflow config list --show-origin
stepflow config set profiles.dev.url http://dev:7837
stepflow config use dev
# config list
stepflow config list
stepflow config list --show-origin --profile dev
# config get
stepflow config get url
stepflow config get profiles.dev -o json
# config set
stepflow config set profiles.dev.url http://dev:7837
stepflow config set profiles.dev.timeout 60
stepflow config set token_env DEV_TOKEN --profile dev
# config unset
stepflow config unset profiles.dev.timeout
stepflow config unset profiles.dev
# config use
stepflow config use dev
stepflow config use dev -o json
# history
stepflow history list
stepflow history show @last
stepflow history list ada
# history list
stepflow history list
stepflow history list ada --status failed
stepflow history list --label team=search -n 5
# history show
stepflow history show @last
stepflow history show @last -o json
# history clear
stepflow history clear --max-age 30d
stepflow history clear @last --yes
# runs
stepflow runs list
stepflow runs watch 01a2b3c4
stepflow runs result 01a2b3c4
# runs list
stepflow runs list
stepflow runs list --status failed,running --since 1h
stepflow runs list -o json --fields run_id
# runs get
stepflow runs get 01a2b3c4
stepflow runs get 01a2b3c4 -o json
# runs watch
stepflow runs watch 01a2b3c4
stepflow runs watch 01a2b3c4 -o jsonl
stepflow runs list -o name | stepflow runs watch -q -
# runs logs
stepflow runs logs 01a2b3c4
stepflow runs logs 01a2b3c4 --level warn
# runs events
stepflow runs events 01a2b3c4
stepflow runs events 01a2b3c4 -o jsonl
# runs items
stepflow runs items 01a2b3c4
stepflow runs items 01a2b3c4 --failed -o jsonl
# runs steps
stepflow runs steps 01a2b3c4
stepflow runs steps 01a2b3c4 --wide
stepflow runs steps 01a2b3c4 --include-times
# runs flow
stepflow runs flow 01a2b3c4
stepflow runs flow 01a2b3c4 -O flow.json
# runs result
stepflow runs result 01a2b3c4
stepflow runs result 01a2b3c4 -o json
# runs eval
stepflow runs eval @last '{$input: $.name}'
stepflow runs eval 01a2b3c4 '{$step: greeting}'
# runs report
stepflow runs report 01a2b3c4 -O report.html
stepflow runs report 01a2b3c4 01a2d5e6 > report.html
# runs diff
stepflow runs diff 01a2b3c4 01a2d5e6
stepflow runs diff 01a2b3c4 01a2d5e6 -o json
# runs save
stepflow runs save @last hello.yaml --dry-run
stepflow runs save @last hello.yaml --as greets
# runs rerun
stepflow runs rerun @last --input-json '{"name": "W"}'
stepflow runs rerun @last --from greeting --dry-run
# runs cancel
stepflow runs cancel 01a2b3c4
stepflow runs cancel --yes 01a2b3c4 01a2d5e6
# runs delete
stepflow runs delete 01a2b3c4
stepflow runs delete --yes 01a2b3c4 01a2d5e6
"""

EXAMPLES = {
    name.strip(): tuple(lines)
    for name, *lines in (block.splitlines() for block in _EXAMPLES_TEXT.removeprefix("\n#").split("\n#"))
}
"""Two to five lines for each command, keyed by the words that follow `stepflow`."""


def get_command_examples(ctx: click.Context) -> tuple[str, ...]:
    """Return the examples for a context's command, if it has any."""
    words: list[str] = []
    context: click.Context | None = ctx
    while context is not None and context.parent is not None:
        words.insert(0, context.command.name or "")
        context = context.parent
    return EXAMPLES.get(" ".join(words), ())
