"""Hosts whose connection is no longer configured."""

from polyvisor.model.host import HostState
from polyvisor.model.power import Power
from polyvisor.operate import inventory
from tests.api.compute.estate import host, put, server
from tests.databases import with_tables


def test_hosts_of_a_connection_that_is_not_served_are_down_and_keep_their_aggregates(database_url: str) -> None:
    database = with_tables(database_url)
    left = server("left", "demo", host="old-1", place="old", power=Power.ON)
    stays = server("stays", "demo", host="new-1", place="new", power=Power.ON)
    put(database, host("old-1", place="old"), host("new-1", place="new"), left, stays)
    with database.write() as store:
        store.aggregate.join("kvm", ["old-1", "new-1"], new_uuid="a" * 36, now=left.created_at)
        inventory.set_aside(store, ["new"])
    with database.read() as store:
        old, new = store.host.get("old-1"), store.host.get("new-1")
        assert (old.state, new.state) == (HostState.DOWN, HostState.UP)
        assert "old is not in the configuration" in old.state_reason
        assert store.server.get(left.id).power is Power.UNKNOWN
        assert store.server.get(stays.id).power is Power.ON
        assert store.aggregate.list()[0].hosts == ("old-1", "new-1")
    database.close()
