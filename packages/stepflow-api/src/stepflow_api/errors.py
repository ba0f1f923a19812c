# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
"""What the functions of this package raise besides httpx's own exceptions."""


class UnexpectedStatus(Exception):
    """The server answered with an undocumented status, and the client was told to raise in that case."""

    def __init__(self, status_code: int, content: bytes) -> None:
        self.status_code = status_code
        self.content = content
        super().__init__(f"Undocumented status {status_code}: {_excerpt(content)}")


class UnexpectedBody(Exception):
    """The body is not what is documented for its status: not JSON, or JSON of another shape."""

    def __init__(self, status_code: int, content: bytes) -> None:
        self.status_code = status_code
        self.content = content
        super().__init__(f"Undocumented body with status {status_code}: {_excerpt(content)}")


def _excerpt(content: bytes, limit: int = 200) -> str:
    text = content[: limit + 1].decode(errors="replace")
    return text if len(content) <= limit else text[:limit] + "..."


__all__ = ["UnexpectedBody", "UnexpectedStatus"]
