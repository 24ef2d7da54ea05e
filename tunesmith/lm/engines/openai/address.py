"""Where an OpenAI-compatible server is, and what may travel there."""

from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from tunesmith.errors import UsageError, shown
from tunesmith.lm.connection import is_header_name, is_header_value, is_host_name, is_loopback

__all__ = ["checked_address", "checked_headers"]

_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "x-api-key", "api-key"})


def checked_headers(given: Mapping[str, str], api_key: object) -> dict[str, str]:
    """Return the headers with the key among them.

    Raises:
        UsageError: what cannot be sent; its text shows no value, which may be a secret.
    """
    for name, value in given.items():
        if not is_header_name(name) or not is_header_value(value):
            raise UsageError(
                f"The header {shown(name)} cannot be sent. Names and values are ASCII texts without line ends."
            )
    if api_key is None or api_key == "":
        return dict(given)
    if not is_header_value(api_key):
        raise UsageError("`api_key` cannot be sent: it holds a line end, an outer space or a letter beyond ASCII.")
    return {**given, "Authorization": f"Bearer {api_key}"}


def checked_address(base_url: str, headers: Mapping[str, str]) -> SplitResult:
    """Return the address of the API; a bare host gets `/v1`.

    Raises:
        UsageError: it is not such an address, it holds a password, or a header would carry a key in clear text to
            another machine.
    """
    problem = f"`base_url` is an address such as `http://localhost:8000/v1`. Given: {shown(base_url)}."
    if not isinstance(base_url, str):
        raise UsageError(problem)
    try:
        address = urlsplit(base_url.strip())
        host, _ = address.hostname, address.port
    except ValueError as error:
        raise UsageError(f"{problem} {error}.") from error
    if address.username is not None or address.password is not None:
        raise UsageError("A user name or password in `base_url` would be written down. Pass `api_key=` or `headers=`.")
    strange = not host or not is_host_name(host) or any(char.isspace() for char in base_url.strip())
    if address.scheme not in ("http", "https") or strange or address.query or address.fragment:
        raise UsageError(problem)
    if address.scheme == "http" and not is_loopback(host) and any(name.lower() in _SECRET_HEADERS for name in headers):
        raise UsageError(
            f"The API key would travel in clear text to {host}. Use an https address or a tunnel to localhost, or "
            "leave the key out."
        )
    return address._replace(path="/v1") if address.path in ("", "/") else address
