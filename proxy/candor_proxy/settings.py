"""Settings of the proxy, and the only place that touches the environment.

Later sources win: defaults, ``candor.toml``, ``CANDOR_*`` variables, flags of the command line.
Every value is checked in the source that it came from, so that an error can name that source and
the spelling that the user chose. Messages never repeat a value: it may be a key.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from typing_extensions import override

from candor_guard.detectors.shipped import DEFAULT, NAMES
from candor_guard.errors import ConfigurationError
from candor_guard.flow import Annotate
from candor_guard.policy import Policy
from candor_guard.upstreams.target import BaseUrl, checked_key
from candor_proxy.admission import Bounds
from candor_proxy.keys import MASK, assignment, flat, leaves, nearest, nested, value_at
from candor_proxy.options import ProxyOptions

DEFAULT_FILE = Path("candor.toml")
LITELLM = "litellm"
_PREFIX = "CANDOR_"
# Clients add them to a base URL. The longest first: two end in the same word.
_ENDPOINTS = ("/chat/completions", "/completions", "/messages", "/responses")
_HTTP = ProxyOptions()
_BOUNDS = Bounds()
# Kubernetes tells every pod about every service: next to a service named ``candor-guard`` these
# are not typing errors, and must not keep the proxy from starting.
_SERVICE_LINK = re.compile(r"CANDOR_\w*(?:SERVICE_(?:HOST|PORT)\w*|_PORT|PORT_\d+_(?:TCP|UDP)\w*)")


def _known_upstream(value: str | None) -> str | None:
    if value is None or value == LITELLM:
        return value
    try:
        url = BaseUrl.parse(value).url
    except ConfigurationError as error:
        raise ValueError(f"{error} (or 'litellm' instead of a URL)") from None
    for endpoint in _ENDPOINTS:
        if url.endswith(endpoint):
            raise ValueError(
                f"leave out {endpoint} at the end: the base URL is what stands before it,"
                " such as https://host/v1"
            )
    return value


def _key(value: SecretStr | None) -> SecretStr | None:
    if value is None:
        return None
    try:
        key = checked_key(value.get_secret_value())
    except ConfigurationError as error:
        raise ValueError(str(error)) from None
    if key == MASK:
        raise ValueError("this is the mask that --print-config writes, not a key")
    return SecretStr(key)


def _split(value: object) -> object:
    """Names from a comma-separated variable; a TOML array as the tuple that is declared."""
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return tuple(value) if isinstance(value, list) else value


class Settings(BaseSettings):
    """Everything that can be set. Immutable; all times are seconds.

    The constructor reads nothing but its arguments; `load` reads files and the environment.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,  # compose files pass on ${VARIABLE:-}
    )

    upstream: Annotated[str | None, AfterValidator(_known_upstream)] = Field(
        default=None,
        description="base URL of an OpenAI-compatible server, such as https://host/v1, or litellm",
    )
    upstream_api_key: Annotated[SecretStr | None, AfterValidator(_key)] = Field(
        default=None, description="sent instead of the client's own key; not with litellm"
    )
    host: str = Field(default="127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(default=8400, ge=0, le=65535, description="0 picks a free one")
    workers: int = Field(default=1, ge=1, le=256, description="processes that share the port")
    detector: str = Field(
        default=DEFAULT,
        description=f"what reads the replies: {'|'.join(NAMES)}|a model folder",
    )
    models: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = Field(
        default=(), description="with upstream litellm: all that may be asked for; none: any"
    )
    connect_timeout: float = Field(
        default=10.0, gt=0, description="how long a connection to the upstream may take"
    )
    read_timeout: float = Field(
        default=600.0, gt=0, description="how long the upstream may be silent"
    )
    max_connections: int = Field(
        default=1000, ge=1, description="connections to the upstream at the same time, per worker"
    )
    max_concurrent: int = Field(
        default=_BOUNDS.concurrent,
        ge=1,
        description="requests that are answered at the same time, per worker",
    )
    max_waiting: int = Field(
        default=_BOUNDS.waiting,
        ge=0,
        description="further requests that wait for their turn, per worker; the rest gets a 503",
    )
    log_level: Literal["critical", "error", "warning", "info", "debug"] = Field(
        default="info",
        description="of the log on standard error; without log_content it never shows content",
    )
    log_content: bool = Field(
        default=_HTTP.log_content,
        description="whether the log and candor.attempts show what probes found and how "
        "regenerations changed the request, in words of the conversation",
    )
    log_decisions: bool = Field(
        default=_HTTP.log_decisions,
        description="whether the log has a line, without content, for each reply that was read",
    )
    annotate: Annotate = Field(
        default=_HTTP.annotate,
        description="which bodies carry the candor object: flagged|all|none",
    )
    allow_mode_header: bool = Field(
        default=_HTTP.allow_mode_header, description="whether clients may send x-candor-mode"
    )
    max_request_bytes: int = Field(
        default=_HTTP.max_request_bytes, gt=0, description="a larger body of a request gets a 413"
    )
    body_timeout: float = Field(
        default=_HTTP.body_timeout,
        gt=0,
        description="how long a client may be silent before and within its body; then it gets a 408",
    )
    header_wait: float = Field(
        default=_HTTP.header_wait,
        ge=0,
        description="how long a held stream's headers wait for the decision",
    )
    keepalive_interval: float = Field(
        default=_HTTP.keepalive_interval,
        gt=0,
        description="time between the keepalive comments of a held stream",
    )
    policy: Policy = Field(default_factory=Policy, description="how careful to be")

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments only: building the same object twice must not depend on the environment."""
        return (init_settings,)

    def options(self) -> ProxyOptions:
        """Return the part that the app needs."""
        return ProxyOptions(
            annotate=self.annotate,
            allow_mode_header=self.allow_mode_header,
            max_request_bytes=self.max_request_bytes,
            body_timeout=self.body_timeout,
            header_wait=self.header_wait,
            keepalive_interval=self.keepalive_interval,
            log_content=self.log_content,
            log_decisions=self.log_decisions,
            server=self._server(),
        )

    def _server(self) -> str:
        if self.upstream is None or self.upstream == LITELLM:
            return self.upstream or _HTTP.server
        return BaseUrl.parse(self.upstream).server

    def bounds(self) -> Bounds:
        """Return how many requests a worker takes on."""
        return Bounds(self.max_concurrent, self.max_waiting)


class Loaded(NamedTuple):
    """Settings, and where each of them was set (by dotted key; absent: it is the default)."""

    settings: Settings
    origins: Mapping[str, str]


def load(flags: Mapping[str, Any] | None = None, config: Path | None = None) -> Loaded:
    """Read all sources.

    Args:
        flags: Values from the command line by dotted key, such as ``policy.operating_point``.
        config: A file that must exist; default: ``candor.toml`` where there is one.

    Raises:
        ConfigurationError: In one line, with the source and the key.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in _layers(flags or {}, config):
        checked = _checked(layer)
        values.update(checked)
        origins.update(dict.fromkeys(checked, layer.source))
    return Loaded(Settings(**nested(values)), origins)


def read_secret(variable: str) -> str:
    """Return the key in a variable of the environment that the user named.

    Raises:
        ConfigurationError: If it is unset or empty, or holds what cannot be sent.
    """
    value = os.environ.get(variable, "")  # noqa: TID251 - this module is the environment's reader
    if not value:
        raise ConfigurationError(f"the environment variable {variable!r} is not set")
    try:
        return checked_key(value)
    except ConfigurationError as error:
        raise ConfigurationError(f"the environment variable {variable!r}: {error}") from None


def share_metrics(directory: str) -> None:
    """Let workers that are started from now on count into files in the same directory."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory  # noqa: TID251 - and the only writer


def print_config(settings: Settings, origins: Mapping[str, str] | None = None) -> str:
    """Return the effective settings as TOML, the key masked, with a comment for every key."""
    lines: list[str] = []
    table = ""
    for key, leaf in leaves(Settings).items():
        *tables, name = key.split(".")
        if ".".join(tables) != table:
            table = ".".join(tables)
            lines += [f"[{table}]", ""]
        origin = (origins or {}).get(key, "default")
        lines += [f"# {leaf.description} ({origin})", assignment(name, value_at(settings, key)), ""]
    return "\n".join(lines)


# -- sources ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Layer:
    """What one source says.

    Attributes:
        source: For messages, such as ``candor.toml``.
        where: The same with its preposition.
        values: By dotted key, not yet checked.
        typed: Whether values have types of their own, so that ``"8400"`` is no number.
    """

    source: str
    where: str
    values: Mapping[str, Any]
    typed: bool = False

    def spell(self, key: str) -> str:
        """Return the key as its user writes it."""
        if self.source == "command line":
            return f"--{key.rpartition('.')[2].replace('_', '-')}"
        return _variable(key) if self.source == "environment" else key


def _layers(flags: Mapping[str, Any], config: Path | None) -> Iterator[_Layer]:
    if config is not None or DEFAULT_FILE.is_file():
        path = config or DEFAULT_FILE
        yield _Layer(str(path), f"in {path}", dict(flat(_read_toml(path))), typed=True)
    yield _Layer("environment", "in the environment", _read_environment())
    yield _Layer("command line", "on the command line", flags)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path} is not valid TOML: not UTF-8 (at line {line})") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        last = text.rstrip("\n").count("\n") + 1
        told = str(error).replace("end of document", f"line {last}, the end of the document")
        raise ConfigurationError(f"{path} is not valid TOML: {told}") from None


def _read_environment() -> dict[str, Any]:
    known = {_variable(key) for key in (*leaves(Settings), "mode")}
    variables = os.environ  # noqa: TID251 - this module is the environment's reader
    for name in sorted(variables):
        upper = name.upper()  # pydantic-settings reads any case
        if not upper.startswith(_PREFIX) or upper in known or _SERVICE_LINK.fullmatch(upper):
            continue
        hint = nearest(upper, known)
        raise ConfigurationError(f"unknown variable {name!r} in the environment; {hint}")
    values = dict(flat(EnvSettingsSource(Settings)()))
    named = (value for name, value in variables.items() if name.upper() == _variable("mode"))
    mode = next(named, None)
    return {**values, "mode": mode} if mode else values


def _checked(layer: _Layer) -> dict[str, Any]:
    """Return the layer's values by their one true key."""
    checked: dict[str, Any] = {}
    for key, value in layer.values.items():
        _need_known(key, layer)
        # So much the most wanted setting that it has a short name.
        target = "policy.mode" if key == "mode" else key
        if target in checked:
            raise ConfigurationError(f"'mode' and 'policy.mode' are both set {layer.where}")
        try:
            checked[target] = _validated(target, value, typed=layer.typed)
        except ValidationError as error:
            message = error.errors(include_url=False, include_input=False)[0]["msg"]
            message = message.removeprefix("Value error, ")
            message = message[:1].lower() + message[1:]
            raise ConfigurationError(f"{layer.spell(key)} {layer.where}: {message}") from None
    return checked


def _validated(key: str, value: Any, *, typed: bool) -> Any:
    adapter = leaves(Settings)[key].adapter
    if not typed:
        return adapter.validate_python(value)
    # Strict JSON is what TOML means: numbers are numbers, arrays become tuples. Dates and times,
    # which no key takes, become objects, which no key takes either.
    text = json.dumps(value, default=lambda other: {"value": str(other)})
    return adapter.validate_json(text, strict=True)


def _need_known(key: str, layer: _Layer) -> None:
    keys = [*leaves(Settings), "mode"]
    if key in keys:
        return
    if any(known.startswith(f"{key}.") for known in keys):
        raise ConfigurationError(f"{key!r} {layer.where} must be a table")
    raise ConfigurationError(f"unknown key {key!r} {layer.where}; {nearest(key, keys)}")


def _variable(key: str) -> str:
    return _PREFIX + key.upper().replace(".", "__")
