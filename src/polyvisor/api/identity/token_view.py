"""Tokens and the catalogue as Keystone shows them."""

from typing import Any

from polyvisor.api.kit.times import zulu_micros
from polyvisor.model.caller import Caller, Named
from polyvisor.model.catalog import CatalogEntry
from polyvisor.store.store import Store


def view(store: Store, caller: Caller, *, with_catalog: bool) -> dict[str, Any]:
    """The body of a token, without its text."""
    token = caller.token
    shown: dict[str, Any] = {
        "methods": list(token.methods),
        "user": {
            "id": caller.user_id,
            "name": caller.user_name,
            "domain": _named(caller.user_domain),
            "password_expires_at": None,
        },
        "audit_ids": list(dict.fromkeys((token.audit_id, token.audit_chain))),
        "issued_at": zulu_micros(token.issued_at),
        "expires_at": zulu_micros(token.expires_at),
    }
    if caller.project_id is not None and caller.project_domain is not None:
        home = _named(caller.project_domain)
        shown["project"] = {"id": caller.project_id, "name": caller.project_name, "domain": home}
        shown["is_domain"] = False
    elif caller.domain is not None:
        shown["domain"] = _named(caller.domain)
    elif caller.system:
        shown["system"] = {"all": True}
    else:
        return shown
    shown["roles"] = [_named(role) for role in caller.roles]
    if token.application_credential_id is not None:
        credential = store.application_credential.find(token.application_credential_id)
        restricted = credential is None or not credential.unrestricted
        shown["application_credential"] = {
            "id": token.application_credential_id,
            "name": credential.name if credential is not None else None,
            "restricted": restricted,
        }
    if with_catalog:
        shown["catalog"] = catalog_view(store.catalog.entries(), caller.project_id)
    return shown


def catalog_view(entries: list[CatalogEntry], project_id: str | None) -> list[dict[str, Any]]:
    """The catalogue, with the project's id in the addresses that ask for it."""
    return [
        {
            "id": entry.service.id,
            "type": entry.service.type,
            "name": entry.service.name,
            "endpoints": [
                {
                    "id": endpoint.id,
                    "interface": endpoint.interface,
                    "region_id": endpoint.region_id,
                    "region": endpoint.region_id,
                    "url": address,
                }
                for endpoint in entry.endpoints
                if (address := _address(endpoint.url, project_id)) is not None
            ],
        }
        for entry in entries
    ]


def _address(url: str, project_id: str | None) -> str | None:
    for name in ("$(project_id)s", "%(project_id)s", "$(tenant_id)s", "%(tenant_id)s"):
        if name in url:
            if project_id is None:
                return None
            url = url.replace(name, project_id)
    return url


def _named(named: Named) -> dict[str, str]:
    return {"id": named.id, "name": named.name}
