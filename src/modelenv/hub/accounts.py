"""Who asks: users, their tokens, and what they may do."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from modelenv.forks import new_lock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelenv.hub.repos.repository import Repository

Role = Literal["read", "write"]

# Who has any token, as long as the Hub was not told of any.
ANYBODY = "user"


@dataclass(frozen=True)
class Account:
    """A user with one token.

    Attributes:
        name, fullname: the user's.
        role: what the token is for.
        orgs: the organisations whose repositories the user may read and write.
        access: the gated and private repositories of others that the user may read, also under another name.
        expired: the token was good once.
        everything: the user may read and write all repositories.
    """

    name: str
    fullname: str
    role: Role = "write"
    orgs: tuple[str, ...] = ()
    access: frozenset[str] = frozenset()
    expired: bool = False
    everything: bool = False

    def owns(self, namespace: str) -> bool:
        """Return whether the repositories of this namespace are the user's own."""
        return self.everything or namespace in (self.name, *self.orgs)

    def reads(self, repository: Repository) -> bool:
        """Return whether the user may read a private or gated repository."""
        return self.owns(namespace_of(repository.repo_id)) or not self.access.isdisjoint(repository.ids)

    def writes(self, repo_id: str) -> bool:
        """Return whether the user may change this repository."""
        return self.role == "write" and self.owns(namespace_of(repo_id))

    def described(self) -> dict[str, Any]:
        """Return what `whoami` says."""
        return {
            "type": "user",
            "id": _identifier(self.name),
            "name": self.name,
            "fullname": self.fullname,
            "isPro": False,
            "orgs": [
                {"type": "org", "id": _identifier(org), "name": org, "fullname": org, "roleInOrg": "write"}
                for org in self.orgs
            ],
            "auth": {"type": "access_token", "accessToken": {"displayName": self.name, "role": self.role}},
        }


def namespace_of(repo_id: str) -> str:
    """Return the user or organisation that owns a repository; "" for one without."""
    return repo_id.split("/")[0] if "/" in repo_id else ""


def _identifier(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:24]


class Accounts:
    """The tokens that are known. As long as there is none, every token is taken for that of a user who may all."""

    def __init__(self, tokens: Mapping[str, Account] = MappingProxyType({})) -> None:
        self._lock = new_lock()
        self._tokens = dict(tokens)

    def add(self, token: str, account: Account) -> None:
        """Make a token known."""
        with self._lock:
            self._tokens[token] = account

    def find(self, token: str) -> Account | None:
        """Return whose token this is, or None."""
        with self._lock:
            if not self._tokens:
                return Account(ANYBODY, ANYBODY, everything=True)
            return self._tokens.get(token)

    def copy(self) -> Accounts:
        """Return accounts of their own, with the same tokens."""
        with self._lock:
            return Accounts(self._tokens)
