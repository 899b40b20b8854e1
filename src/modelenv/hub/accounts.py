"""Users, their tokens, and their permissions."""

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

# The user of every token until the first token is registered.
ANYBODY = "user"


@dataclass(frozen=True)
class Account:
    """A user with one token.

    Attributes:
        name, fullname: The names of the user.
        role: The role of the token: `read` or `write`.
        orgs: The organisations whose repositories the user can read and write.
        access: The gated and private repositories of others that the user can read, also after they were moved.
        expired: Whether the token has expired.
        everything: Whether the user can read and write all repositories.
    """

    name: str
    fullname: str
    role: Role = "write"
    orgs: tuple[str, ...] = ()
    access: frozenset[str] = frozenset()
    expired: bool = False
    everything: bool = False

    def owns(self, namespace: str) -> bool:
        """Whether the user owns the repositories in this namespace."""
        return self.everything or namespace in (self.name, *self.orgs)

    def reads(self, repository: Repository) -> bool:
        """Whether the user can read this private or gated repository."""
        return self.owns(namespace_of(repository.repo_id)) or not self.access.isdisjoint(repository.ids)

    def writes(self, repo_id: str) -> bool:
        """Whether the user can change this repository."""
        return self.role == "write" and self.owns(namespace_of(repo_id))

    def described(self) -> dict[str, Any]:
        """Return the response of `whoami`."""
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
    """Return the user or organisation that owns a repository, or "" if its id has none."""
    return repo_id.split("/")[0] if "/" in repo_id else ""


def _identifier(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:24]


class Accounts:
    """The registered tokens. Until the first token is registered, any token is accepted with full rights."""

    def __init__(self, tokens: Mapping[str, Account] = MappingProxyType({})) -> None:
        self._lock = new_lock()
        self._tokens = dict(tokens)

    def add(self, token: str, account: Account) -> None:
        """Register a token."""
        with self._lock:
            self._tokens[token] = account

    def find(self, token: str) -> Account | None:
        """Return the account of a token, or None."""
        with self._lock:
            if not self._tokens:
                return Account(ANYBODY, ANYBODY, everything=True)
            return self._tokens.get(token)

    def copy(self) -> Accounts:
        """Return an independent copy with the same tokens."""
        with self._lock:
            return Accounts(self._tokens)
