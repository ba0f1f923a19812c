"""Typed functions that run flows, as text. Pure."""

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
    """Return the line that holds where a flow is: relative to the module, or absolute."""
    text = repr(path)
    quoted = text if text.startswith('"') else '"{}"'.format(text[1:-1].replace('"', '\\"'))
    return f"{constant} = Path(__file__).parent / {quoted}\n"


def write_functions(name: str, constant: str, title: str, types: FlowSchemas) -> str:
    """Return an asynchronous function and its synchronous twin.

    Args:
        name: The flow's name in names of functions.
        constant: The name of the constant that holds where the flow is.
        title: What the flow is called.
        types: The names of its classes.
    """
    # In a docstring a backslash or a quote would be read.
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
