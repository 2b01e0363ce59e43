"""`polyvisor database`: bring the schema up to date, look after the database, and copy it."""

from pathlib import Path

import click

from polyvisor.cli.database_options import Where, database_options, open_any, where
from polyvisor.serve.database_backup import back_up
from polyvisor.serve.database_check import Finding, check_database
from polyvisor.serve.databases import open_cloud_database
from polyvisor.serve.schema import check_usable, look, upgrade

_MARKS = {"right": "ok", "noted": "note", "wrong": "WRONG"}


@click.group("database")
@database_options
@click.pass_context
def command(ctx: click.Context, data: Path, config: Path | None, database: str | None) -> None:
    """Upgrade, check and back up the cloud's database. Works beside running servers."""
    ctx.obj = where(data, config, database)


@command.command("upgrade")
@click.option(
    "--contract",
    is_flag=True,
    help="Also take away what only earlier versions need: once no process of theirs runs any more.",
)
@click.pass_obj
def upgrade_command(at: Where, contract: bool) -> None:
    """Bring the schema up to this version's. Servers of the version before go on working meanwhile, and after.

    May be run again, and by several at once. An empty database gets its tables.
    """
    database = open_cloud_database(at.configuration, at.data, "polyvisor upgrade")
    try:
        taken = upgrade(database, contract=contract)
        found = look(database)
        check_usable(found)
    finally:
        database.close()
    click.echo(f"Took {', '.join(taken)}." if taken else "There was nothing to do.")
    click.echo(f"The schema is at {found.revision}.")


@command.command("check")
@click.pass_context
def check_command(ctx: click.Context) -> None:
    """Say what the schema is at, whether it is whole, and which of the database's settings would hurt.

    The exit status is 1 where something is wrong.
    """
    database = open_any(ctx.obj)
    try:
        findings = check_database(database, ctx.obj.configuration)
    finally:
        database.close()
    for finding in findings:
        click.echo(_line(finding))
    if any(finding.weight == "wrong" for finding in findings):
        ctx.exit(1)


def _line(finding: Finding) -> str:
    return f"{_MARKS[finding.weight]:>6}  {finding.sentence}"


@command.command("backup")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace FILE where it exists.")
@click.pass_obj
def backup_command(at: Where, file: Path, force: bool) -> None:
    """Copy the database to FILE, as it is at one moment, while the cloud runs on.

    Of SQLite the copy is a database again; of PostgreSQL it is what pg_restore takes. Images are files of their own,
    and not in it; it holds secrets, as the database does.
    """
    database = open_any(at)
    try:
        size_bytes = back_up(database, file, replace=force)
    finally:
        database.close()
    click.echo(f"Wrote {file} ({size_bytes / 1024**2:.1f} MiB).")
