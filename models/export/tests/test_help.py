"""--help states the default of every option of every command."""

import argparse

import pytest

from bike_export.arguments import COMMANDS, parser


def commands() -> dict[str, argparse.ArgumentParser]:
    actions = [a for a in parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(actions[0].choices)


@pytest.mark.parametrize("command", ["export", *COMMANDS])
def test_every_option_states_its_default(command: str):
    for action in commands()[command]._actions:
        if action.option_strings and not action.required and action.dest != "help":
            assert action.help and "default:" in action.help, action.option_strings


def test_stated_defaults_are_the_ones_in_use():
    """Checks the defaults that depend on the checkpoint and the configuration file."""
    from bike_export.export import fit_composer, options
    from bike_export.text.lists import read_prompts

    text = " ".join(commands()["export"].format_help().split())
    assert f"(default: {fit_composer.TUPLES})" in text
    assert f"'{read_prompts(None)[0]}', BIKE's" in text
    assert f"(default: {options.Options.licence}" in text
