"""Which names are secrets', and that no value of theirs is left in settings and texts."""

from __future__ import annotations

import pytest
import yaml

from tts_bench.secrets import masking
from tts_bench.secrets.masking import MASK, hide, hide_assigned, is_secret, masked, masks, remember
from tts_bench.suite.masked_text import masked_text


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(masking, "_known", set())


@pytest.mark.parametrize(
    "name",
    [
        *("api_key", "apiKey", "API-KEY", "apikey", "openai_api_key", "x-api-key", "access_key"),
        *("token", "HF_TOKEN", "auth_token", "accessToken", "password", "db_password", "passwd"),
        *("secret", "client_secret", "Authorization", "credentials", "private_key", "engine.token"),
    ],
)
def test_names_of_secrets(name: str):
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        *("max_tokens", "tokenizer", "token_ids", "wrong_token", "right_token", "eos_token", "key"),
        *("stop", "cached_prompt_tokens", "suite_hash", "monkey", "budget.tokens", "n", "", 3),
        *("authors", "keys_per_query", "pass@1", "secretary"),
    ],
)
def test_names_of_other_things(name: object):
    assert not is_secret(name)


def test_settings_lose_their_secrets_and_nothing_else():
    settings = {
        "engine": {"api_key": "sk-1", "model": "m", "headers": {"Authorization": "Bearer x"}},
        "credentials": {"user": "u", "pins": [1234, None, True]},
        "prompt": {"template": "{problem}"},
        "n": [1, 2],
    }
    assert masked(settings) == {
        "engine": {"api_key": MASK, "model": "m", "headers": {"Authorization": MASK}},
        "credentials": {"user": MASK, "pins": [MASK, None, True]},
        "prompt": {"template": "{problem}"},
        "n": [1, 2],
    }
    assert settings["engine"]["api_key"] == "sk-1"  # type: ignore[call-overload,index]
    assert list(masks(masked(settings)))[:2] == ["engine.api_key", "engine.headers.Authorization"]


def test_a_value_that_is_known_is_masked_wherever_it_stands(monkeypatch):
    remember({"engine": {"api_key": "sk-12345", "password": 987654, "token": "ab"}})
    monkeypatch.setenv("MY_SERVICE_TOKEN", "from-the-environment")
    said = "401 for sk-12345 (987654, from-the-environment), ab at https://me:pw@host/x"
    assert hide(said) == f"401 for {MASK} ({MASK}, {MASK}), ab at https://{MASK}@host/x"


def test_where_the_shell_stands_and_where_a_key_lies_are_no_secrets(monkeypatch, tmp_path):
    monkeypatch.setenv("PWD", "/some/where/else")
    monkeypatch.setenv("CLOUD_CREDENTIALS", str(tmp_path))
    assert hide(f"/some/where/else {tmp_path}") == f"/some/where/else {tmp_path}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("--set engine.api_key=abc", f"--set engine.api_key={MASK}"),
        ("--set=engine.api_key=abc", f"--set=engine.api_key={MASK}"),
        ("engine={api_key: 'abc', n: 3}", f"engine={{api_key: '{MASK}', n: 3}}"),
        ('{"token": "abc"}', f'{{"token": "{MASK}"}}'),
        ("Authorization: Bearer abc failed", f"Authorization: {MASK} failed"),
        ("max_tokens=64 wrong_token=-", "max_tokens=64 wrong_token=-"),
        ("api_key=", "api_key="),
        (
            "s.yaml:3: engine.api_key: must be a string",
            "s.yaml:3: engine.api_key: must be a string",
        ),
    ],
)
def test_what_is_assigned_to_a_secret_name_is_masked(text: str, shown: str):
    assert hide_assigned(text) == shown


TEXT = """\
# the key is sk-12345
engine: &e
  name: server
  api_key: &k "sk-12345"   # mine
  extra: {token: 'a b', headers: [{Authorization: Bearer xyz}], n: 3}
  password: |
    two
    lines
  secret: null
verifier: {engine: *e, token: *k}
sampling: {max_tokens: 64}
"""


def test_a_suites_text_loads_as_before_without_its_secrets():
    remember(yaml.safe_load(TEXT))
    shown = masked_text(TEXT)
    assert yaml.safe_load(shown) == masked(yaml.safe_load(TEXT))
    assert "# the key is <masked>" in shown
    assert "# mine" in shown
    for secret in ("sk-12345", "xyz", "a b", "two\n"):
        assert secret not in shown


def test_a_text_without_secrets_stays_to_the_letter():
    text = "engine: {name: x,   model: y} # odd\n\n\nsampling:   {max_tokens: 0x10}\n"
    assert masked_text(text) == text
