"""The source of typed functions that run flows. Pure functions."""

from __future__ import annotations

from .schemas import FlowSchemas

__all__ = ["IMPORTS", "path_line", "write_functions"]

IMPORTS = [
    "collections.abc.Mapping",
    "pathlib.Path",
    "stepflow_client.FlowResult",
    "stepflow_client.ResultCache",
    "stepflow_client.StepflowClient",
    "stepflow_client.StepflowRuntime",
    "stepflow_client.SyncStepflowClient",
    "typing.Any",
]

_TEMPLATE = '''
{async_}def {function}(
    client: {client},
    input: {input},
    *,
    variables: {variables} = None,
    variables_from_env: bool = False,
    overrides: Any = None,
    timeout: float | None = None,
    cache: ResultCache | None = None,
    flow: str | Path | Mapping[str, Any] = {constant},
) -> {result}:
    """Run the flow {title} and return its result, a failure too; `timeout` is in seconds."""
    return {await_}client.run(
        flow,
        [input],
        overrides,
        variables=variables,
        variables_from_env=variables_from_env,
        timeout=timeout,
        cache=cache,{output_type}
    )
'''


def path_line(constant: str, path: str) -> str:
    """Return the line that sets a flow's path, relative to the module or absolute."""
    text = repr(path)
    quoted = text if text.startswith('"') else '"{}"'.format(text[1:-1].replace('"', '\\"'))
    return f"{constant} = Path(__file__).parent / {quoted}\n"


def write_functions(name: str, constant: str, title: str, types: FlowSchemas) -> str:
    """Return the source of an asynchronous function and its synchronous twin.

    Args:
        name: The flow's name within function names.
        constant: The name of the constant with the flow's path.
        title: The flow's title.
        types: The names of its classes.
    """
    # A backslash or a quote would change the docstring.
    shown = "".join(each for each in " ".join(title.split()) if each.isprintable() and each not in '\\"')[:60]
    values = {
        "constant": constant,
        "title": shown,
        "input": types.input or "Any = None",
        "variables": f"{types.variables or 'Mapping[str, Any]'} | None",
        "result": f"FlowResult[{types.output}]" if types.output else "FlowResult[Any]",
        "output_type": f"\n        output_type={types.output}," if types.output else "",
    }
    twins = (
        {
            "function": f"run_{name}",
            "async_": "async ",
            "await_": "await ",
            "client": "StepflowClient | StepflowRuntime",
        },
        {"function": f"run_{name}_sync", "async_": "", "await_": "", "client": "SyncStepflowClient"},
    )
    return "\n".join(_TEMPLATE.format(**values, **twin) for twin in twins)
