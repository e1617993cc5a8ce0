"""Settings: sources and their order, errors that name source and key, and the printed form."""

from __future__ import annotations

import pickle
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from candor_guard.errors import ConfigurationError
from candor_guard.policy import Policy
from candor_proxy.keys import flat, leaves
from candor_proxy.options import ProxyOptions
from candor_proxy.serve import build_guard
from candor_proxy.settings import Settings, load, print_config, read_secret

UPSTREAM = "http://models.internal:9000/v1"
EXAMPLE = Path(__file__).parents[2] / "proxy" / "example.toml"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CANDOR_UPSTREAM", UPSTREAM)


def write(text: str, name: str = "candor.toml") -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


def complaint(text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load({}, write(text))
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -- order ----------------------------------------------------------------------------------------


def test_defaults_are_those_of_policy_and_options() -> None:
    """Without a source, policy and HTTP surface behave as the library's own defaults."""
    settings, origins = load()
    assert settings.policy == Policy()
    assert settings.options() == ProxyOptions(server="models.internal:9000")
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8400, 1)
    assert origins == {"upstream": "environment"}


def test_each_source_wins_over_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flags win over variables, variables over the file, the file over the defaults."""
    write("port = 1\nworkers = 2\nread_timeout = 3\n")
    monkeypatch.setenv("CANDOR_PORT", "4")
    monkeypatch.setenv("CANDOR_WORKERS", "5")
    settings, origins = load({"port": "6"})
    assert (settings.port, settings.workers, settings.read_timeout) == (6, 5, 3.0)
    assert origins["port"] == "command line"
    assert origins["workers"] == "environment"
    assert origins["read_timeout"] == "candor.toml"


def test_tables_are_merged_key_by_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable for one policy key leaves the file's other policy keys alone."""
    write("[policy]\nmax_attempts = 2\n[policy.thresholds]\ndrift = 0.4\n")
    monkeypatch.setenv("CANDOR_POLICY__MAX_HOLD_SECONDS", "7")
    monkeypatch.setenv("CANDOR_POLICY__THRESHOLDS__CAPITULATION", "0.3")
    policy = load({"policy.operating_point": "strict"}).settings.policy
    assert policy.thresholds == {"drift": 0.4, "capitulation": 0.3}
    assert (policy.max_attempts, policy.max_hold_seconds) == (2, 7.0)
    assert policy.operating_point == "strict"


def test_mode_has_a_short_name_in_every_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """The top-level mode is the policy's, from file, variable and flag."""
    write('mode = "off"\n')
    assert load().settings.policy.mode == "off"
    monkeypatch.setenv("CANDOR_MODE", "observe")
    assert load().settings.policy.mode == "observe"
    assert load({"mode": "enforce"}).settings.policy.mode == "enforce"


def test_the_mode_is_read_in_any_case_as_all_variables_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is no unknown one does what it says."""
    monkeypatch.setenv("candor_mode", "observe")
    monkeypatch.setenv("candor_port", "1")
    settings = load().settings
    assert (settings.policy.mode, settings.port) == ("observe", 1)


def test_named_file_replaces_the_default_one() -> None:
    """With --config, the candor.toml of the working directory is not read."""
    write("port = 1\n")
    other = write("workers = 2\n", "other.toml")
    settings = load({}, other).settings
    assert (settings.port, settings.workers) == (8400, 2)


def test_empty_variables_count_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compose file that passes on unset variables changes nothing."""
    monkeypatch.setenv("CANDOR_PORT", "")
    monkeypatch.setenv("CANDOR_MODE", "")
    settings = load().settings
    assert (settings.port, settings.policy.mode) == (8400, "enforce")


def test_models_come_as_array_or_comma_separated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A TOML array and a comma-separated variable give the same tuple."""
    write('models = ["openai/a", "b"]\n')
    assert load().settings.models == ("openai/a", "b")
    monkeypatch.setenv("CANDOR_MODELS", "openai/a, b,")
    assert load().settings.models == ("openai/a", "b")


def test_constructor_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings made by hand do not depend on variables."""
    monkeypatch.setenv("CANDOR_PORT", "1")
    assert Settings(upstream=UPSTREAM).port == 8400


def test_settings_are_immutable_and_travel_to_workers() -> None:
    """Frozen, closed to unknown names, and equal after pickling, the key included."""
    settings = Settings(upstream=UPSTREAM, upstream_api_key=SecretStr("sk-1"))
    with pytest.raises(ValidationError):
        settings.port = 1
    with pytest.raises(ValidationError):
        Settings(upstream=UPSTREAM, prot=1)  # type: ignore[call-arg]
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301 - our own bytes


# -- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[polcy]\nmode = "off"', "unknown key 'polcy.mode' in candor.toml; did you mean"),
        ("prot = 1", "unknown key 'prot' in candor.toml; did you mean 'port'?"),
        ("[policy]\nmax_atempts = 1", "did you mean 'policy.max_attempts'?"),
        ("[policy.thresholds]\ndrfit = 1", "did you mean 'policy.thresholds.drift'?"),
        ("zzz = 1", "unknown key 'zzz' in candor.toml; valid are allow_mode_header, "),
        ("policy = 3", "'policy' in candor.toml must be a table"),
        ('port = "8400"', "port in candor.toml: input should be a valid integer"),
        ("port = true", "port in candor.toml: input should be a valid integer"),
        ("port = 70000", "port in candor.toml: input should be less than or equal to 65535"),
        ("host = 1979-05-27", "host in candor.toml: input should be a valid string"),
        ("read_timeout = nan", "read_timeout in candor.toml: input should be greater than 0"),
        ('annotate = "some"', "annotate in candor.toml: input should be 'flagged', 'all' or"),
        ('models = ["a", 1]', "models in candor.toml: input should be a valid string"),
        ('mode = "on"', "mode in candor.toml: input should be 'off', 'observe' or 'enforce'"),
        ('mode = "off"\n[policy]\nmode = "off"', "'mode' and 'policy.mode' are both set in"),
        ("port = 1\nport 2", "candor.toml is not valid TOML: Expected '=' after a key"),
        ('upstream = "https://m/v1/chat/completions/"', "leave out /chat/completions at the end"),
        ('upstream = "https://m/v1/completions"', "leave out /completions at the end: the base"),
        ('upstream = "https://m/v1/messages"', "upstream in candor.toml: leave out /messages at"),
        ('upstream = "https://m/responses"', "what stands before it, such as https://host/v1"),
        ("port = 1\nport 2", "at line 2"),
        ("port = 1\nmodels = [", "line 2, the end of the document"),
        ('upstream_api_key = "**********"', "upstream_api_key in candor.toml: this is the mask"),
    ],
)
def test_mistakes_in_the_file_are_told_in_one_line(text: str, message: str) -> None:
    """Every mistake names the file, the key and what would be right."""
    assert message in complaint(text)


def test_nearest_key_is_the_right_one() -> None:
    """A misspelt table leads to the key of the real table."""
    assert complaint('[polcy]\nmode = "off"').endswith("did you mean 'policy.mode'?")


def test_file_must_exist_when_named() -> None:
    """A configuration that was asked for and is missing is no silent default."""
    with pytest.raises(ConfigurationError, match=r"cannot read no\.toml: No such file"):
        load({}, Path("no.toml"))


def test_file_must_be_utf_8() -> None:
    """Bytes of another encoding are told with their line."""
    Path("candor.toml").write_bytes(b'port = 1\nhost = "\xff"\n')
    with pytest.raises(ConfigurationError, match=r"not valid TOML: not UTF-8 \(at line 2\)"):
        load()


def test_unknown_variable_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt variable would silently leave a guard switched on or off."""
    monkeypatch.setenv("CANDOR_MODDE", "off")
    with pytest.raises(ConfigurationError) as caught:
        load()
    expected = "unknown variable 'CANDOR_MODDE' in the environment; did you mean 'CANDOR_MODE'?"
    assert str(caught.value) == expected


def test_wrong_variable_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable's mistake is told under the variable's own name."""
    monkeypatch.setenv("CANDOR_POLICY__MAX_ATTEMPTS", "many")
    with pytest.raises(ConfigurationError, match="CANDOR_POLICY__MAX_ATTEMPTS in the environment"):
        load()


def test_both_names_of_the_mode_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within one source nobody could say which of the two counts."""
    monkeypatch.setenv("CANDOR_MODE", "off")
    monkeypatch.setenv("CANDOR_POLICY__MODE", "observe")
    with pytest.raises(ConfigurationError, match="are both set in the environment"):
        load()


def test_service_links_of_kubernetes_are_no_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Next to a service named candor-guard, the proxy starts."""
    monkeypatch.setenv("CANDOR_GUARD_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("CANDOR_GUARD_SERVICE_PORT_HTTP", "80")
    monkeypatch.setenv("CANDOR_GUARD_PORT", "tcp://10.0.0.1:80")
    monkeypatch.setenv("CANDOR_GUARD_PORT_80_TCP_ADDR", "10.0.0.1")
    assert load().settings.port == 8400


def test_wrong_flag_is_an_error() -> None:
    """A flag's mistake is told under the flag's name."""
    with pytest.raises(ConfigurationError, match=r"^--max-attempts on the command line: input"):
        load({"policy.max_attempts": "9"})


def test_upstream_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no default upstream, and the message says where to name one."""
    monkeypatch.delenv("CANDOR_UPSTREAM")
    settings = load().settings
    assert "# upstream =" in print_config(settings)
    with pytest.raises(ConfigurationError, match="no upstream: pass --upstream URL"):
        build_guard(settings)


@pytest.mark.parametrize(
    "upstream",
    ["api.openai.com/v1", "ftp://host/v1", "http://", "http:///v1", "http://host:x/v1",
     "http://host:99999/v1", "https://me:secret@host/v1", "https://me@host/v1",
     "https://host/v1?key=secret", "https://host/v1#secret", "http://host/a/../v1", "LiteLLM", ""],
)  # fmt: skip
def test_upstream_must_be_a_plain_base_url(upstream: str) -> None:
    """Anything but a bare http(s) URL or litellm is refused, without repeating it."""
    with pytest.raises(ConfigurationError, match="--upstream on the command line: ") as caught:
        load({"upstream": upstream})
    assert "secret" not in str(caught.value)


def test_litellm_is_an_upstream() -> None:
    """The one word that is no URL."""
    assert load({"upstream": "litellm"}).settings.upstream == "litellm"


def test_key_never_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither repr nor the printed settings contain the key."""
    monkeypatch.setenv("CANDOR_UPSTREAM_API_KEY", "sk-very-secret")
    loaded = load()
    assert loaded.settings.upstream_api_key == SecretStr("sk-very-secret")
    assert "sk-very-secret" not in repr(loaded) + print_config(*loaded)


def test_read_secret_wants_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """A named variable that is empty is a mistake; a filled one is returned."""
    monkeypatch.setenv("SOME_KEY", "")
    with pytest.raises(ConfigurationError, match="'SOME_KEY' is not set"):
        read_secret("SOME_KEY")
    monkeypatch.setenv("SOME_KEY", "sk-1")
    assert read_secret("SOME_KEY") == "sk-1"


def test_white_space_around_a_key_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that was read from a file with its last newline works, whatever way it comes in."""
    monkeypatch.setenv("SOME_KEY", "sk-1\r\n")
    assert read_secret("SOME_KEY") == "sk-1"
    write('upstream_api_key = " sk-2\\n"\n')
    assert load().settings.upstream_api_key == SecretStr("sk-2")
    monkeypatch.setenv("CANDOR_UPSTREAM_API_KEY", "\tsk-3\n")
    assert load().settings.upstream_api_key == SecretStr("sk-3")


@pytest.mark.parametrize("key", ["sk\nhidden", "sk-h\u00efdden", "sk\x7fhidden", "hidden\u200b"])
def test_key_that_cannot_be_sent_is_refused_at_the_start(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the place and what is wrong, and not the key."""
    monkeypatch.setenv("SOME_KEY", key)
    monkeypatch.setenv("CANDOR_UPSTREAM_API_KEY", key)
    with pytest.raises(ConfigurationError, match="'SOME_KEY': the key has") as named:
        read_secret("SOME_KEY")
    with pytest.raises(ConfigurationError, match="CANDOR_UPSTREAM_API_KEY in the env") as caught:
        load()
    for error in (named, caught):
        assert "printable ASCII" in str(error.value)
        assert "hidden" not in str(error.value)
    monkeypatch.setenv("SOME_KEY", " \n")
    with pytest.raises(ConfigurationError, match="'SOME_KEY': the key is empty"):
        read_secret("SOME_KEY")


# -- the printed form -----------------------------------------------------------------------------


def test_print_config_masks_comments_and_names_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    """The printed settings are TOML, with the key masked and each value's source."""
    monkeypatch.setenv("CANDOR_UPSTREAM_API_KEY", "sk-1")
    write('mode = "observe"\n')
    text = print_config(*load({"port": "0"}))
    parsed = tomllib.loads(text)
    assert parsed["upstream_api_key"] == "**********"
    assert parsed["policy"]["mode"] == "observe"
    assert re.search(r"^# .*\(candor\.toml\)\nmode = ", text, re.MULTILINE)
    assert re.search(r"^# .*\(command line\)\nport = 0$", text, re.MULTILINE)
    assert re.search(r"^# .*\(default\)\nworkers = 1$", text, re.MULTILINE)


def test_printed_settings_load_again() -> None:
    """What is printed is what would have to be written to get the same."""
    settings = Settings(
        upstream=UPSTREAM,
        models=("a", 'quoted "b"', "tab\tand\x7f"),
        read_timeout=float("inf"),
        policy=Policy(mode="observe", thresholds={"drift": 0.25}),
    )
    assert load({}, write(print_config(settings), "printed.toml")).settings == settings


@given(st.text())
def test_any_text_survives_printing(text: str) -> None:
    """Whatever characters a value has, the printed TOML says the same."""
    printable = text.encode("utf-8", "ignore").decode()  # TOML has no lone surrogates
    settings = Settings(upstream=UPSTREAM, detector=printable)
    assert tomllib.loads(print_config(settings))["detector"] == printable


def test_example_equals_the_defaults() -> None:
    """The example's live keys say what holds without it."""
    text = EXAMPLE.read_text(encoding="utf-8")
    example = write(text, "example.toml")  # not candor.toml, which the defaults would read, too
    assert load({}, example).settings == load().settings


def test_example_names_every_key() -> None:
    """Every key is in the example, live or commented out, and no other."""
    text = EXAMPLE.read_text(encoding="utf-8")
    whole = re.sub(r"^# (?=\w+ = )", "", text, flags=re.MULTILINE)
    named = dict(flat(tomllib.loads(whole)))
    assert set(named) == set(leaves(Settings))
