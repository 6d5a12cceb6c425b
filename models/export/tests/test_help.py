"""--help says what happens when an option is left out, for every option of every command."""

import argparse

import pytest
from bike_export.__main__ import COMMANDS, parser


def commands() -> dict[str, argparse.ArgumentParser]:
    actions = [a for a in parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(actions[0].choices)


@pytest.mark.parametrize("command", ["export", *COMMANDS])
def test_every_default_is_explained(command: str):
    for action in commands()[command]._actions:
        if action.option_strings and not action.required and action.dest != "help":
            assert action.help and "default:" in action.help, action.option_strings


def test_defaults_that_are_stated_are_the_ones_that_are_used():
    """Those that are settled later, against checkpoint and configuration."""
    from bike_export.export import options, stand_in
    from bike_export.text.lists import read_prompts

    text = commands()["export"].format_help()
    said = " ".join(text.split())
    assert f"(default: {stand_in.TUPLES})" in said
    assert f"'{read_prompts(None)[0]}', BIKE's" in said
    assert f"(default: {options.Options.licence}" in said
