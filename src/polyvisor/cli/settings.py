"""`polyvisor settings`: every setting, its default and its meaning."""

import click


@click.command("settings")
def command() -> None:
    """Print the reference of all settings, as Markdown."""
    from polyvisor.serve.settings_reference import reference

    click.echo(reference(), nl=False)
