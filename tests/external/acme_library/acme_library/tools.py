"""What an agent can read and do at the library's desk."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import date
from typing import Any, Literal

from acme_library.records import LibraryRules, day, days_between, plain
from ss_gym.commerce.prompt import Topic, policy_section
from ss_gym.commerce.records import dollars
from ss_gym.tools import Money, Tool, ToolError, Toolkit, tool

_ATTEMPTS = 2
_MOST_DAYS = 365
_NOT_FOUND = {"found": False}


class LibraryTools(Toolkit):
    """The tools for one conversation.

    Args:
        connection: the database, with a world open.
        rules: the library's parameters.
        today: ISO date.
        tools: those that the agent has.

    Attributes:
        verified_customer: the member who passed verification last, or None.
    """

    def __init__(
        self, connection: sqlite3.Connection, rules: LibraryRules, today: str, tools: Mapping[str, Tool]
    ) -> None:
        self.tools = tools
        self.verified_customer: str | None = None
        self._execute = connection.execute
        self._rules, self._today = rules, today
        self._failed = 0

    def execute(self, tool: Tool, arguments: dict[str, Any]) -> Any:
        """Runs a tool.

        Raises:
            ToolError: when the tool refuses, or an argument is text that no database can hold.
        """
        try:
            return super().execute(tool, arguments)
        except UnicodeEncodeError:
            raise ToolError(f"{tool.name}: an argument holds a character that is not valid Unicode") from None

    @tool(kind="read", role="verify")
    def verify_member(self, email: str, postal_code: str) -> dict[str, Any]:
        """Verify the member by what they told you.

        Args:
            email: the e-mail that the member gave.
            postal_code: the postal code that the member gave.
        """
        if self._failed < _ATTEMPTS:
            query = "SELECT member_id, name, postal_code FROM members WHERE email = ?"
            row = self._execute(query, (email.strip(),)).fetchone()
            if row and plain(row[2]) == plain(postal_code):
                self.verified_customer = row[0]
                return {"verified": True, "member_id": row[0], "name": row[1]}
            self._failed += 1
        return {"verified": False, "attempts_left": _ATTEMPTS - self._failed}

    @tool(kind="read")
    def get_loan(self, loan_id: str) -> dict[str, Any]:
        """Get a loan: the book, when it is due, renewals, readers who wait for it, an unpaid fine, a note.

        Args:
            loan_id: five digits, such as "12345".
        """
        row = self._execute(
            "SELECT loans.member_id, title, collection, lent_on, due_on, renewals, note, "
            "(SELECT count(*) FROM reservations WHERE reservations.book_id = loans.book_id), "
            "(SELECT amount_cents FROM fines WHERE fines.loan_id = loans.loan_id AND status = 'unpaid') "
            "FROM loans JOIN books USING (book_id) WHERE loan_id = ?",
            (loan_id,),
        ).fetchone()
        if row is None:
            return _NOT_FOUND
        member_id, title, collection, lent_on, due_on, renewals, note, waiting, fine = row
        found = {
            "loan_id": loan_id,
            "member_id": member_id,
            "title": title,
            "collection": collection,
            "lent_on": lent_on,
            "due_on": due_on,
            "days_overdue": max(0, days_between(due_on, self._today)),
            "renewals": renewals,
            "readers_waiting": waiting,
            "unpaid_fine": dollars(fine or 0),
        }
        return {**found, "note": note} if note else found

    @tool(kind="read")
    def list_loans(self, member_id: str) -> dict[str, Any]:
        """List the loans of a member.

        Args:
            member_id: from verify_member, such as "M1234".
        """
        query = "SELECT loan_id, title, due_on FROM loans JOIN books USING (book_id) WHERE member_id = ? ORDER BY 1"
        found = self._execute(query, (member_id,))
        return {"loans": [{"loan_id": loan, "title": title, "due_on": due} for loan, title, due in found]}

    @tool(kind="read", role="aside")
    def get_policy(self, topic: Topic) -> dict[str, Any]:
        """Read a section of the policy.

        Args:
            topic: which section.
        """
        return {"text": policy_section("library", topic, self._rules, self._today)}

    @tool(kind="write")
    def renew_loan(self, loan_id: str, days: int) -> dict[str, Any]:
        """Renew a loan; it is then due that many days from today.

        Args:
            loan_id: five digits.
            days: how many.
        """
        if not 1 <= days <= _MOST_DAYS:
            raise ToolError(f"renew_loan: days must be from 1 to {_MOST_DAYS}, got {days}")
        due_on = day(date.fromisoformat(self._today).toordinal() + days)
        changed = self._execute(
            "UPDATE loans SET due_on = ?, renewals = renewals + 1 WHERE loan_id = ?", (due_on, loan_id)
        )
        if not changed.rowcount:
            raise ToolError(f"renew_loan: there is no loan {loan_id[:80]}")
        return {"loan_id": loan_id, "due_on": due_on}

    @tool(kind="write")
    def pay_fine(self, loan_id: str, amount: Money) -> dict[str, Any]:
        """Charge the fine on a loan to the member's card.

        Args:
            loan_id: five digits.
            amount: the whole fine, such as "4.00".
        """
        query = "SELECT amount_cents FROM fines WHERE loan_id = ? AND status = 'unpaid'"
        row = self._execute(query, (loan_id,)).fetchone()
        if row is None:
            raise ToolError(f"pay_fine: there is no unpaid fine on {loan_id[:80]}")
        if row[0] != amount:
            raise ToolError(f"pay_fine: the fine is {dollars(row[0])}")
        self._execute("UPDATE fines SET status = 'paid' WHERE loan_id = ?", (loan_id,))
        self._execute("INSERT INTO payments (loan_id, amount_cents) VALUES (?, ?)", (loan_id, amount))
        return {"loan_id": loan_id, "charged": dollars(amount)}

    @tool(kind="end", role="transfer")
    def transfer_to_human(self, reason: Literal["special_collection", "other"], summary: str) -> dict[str, Any]:
        """Hand the conversation over to a librarian, which ends it for you.

        Args:
            reason: which case of the policy it is.
            summary: what the librarian must know.
        """
        self._execute("INSERT INTO tickets (reason, summary) VALUES (?, ?)", (reason, summary))
        return {"transferred": True}

    @tool(kind="end")
    def end_conversation(self) -> dict[str, Any]:
        """End the conversation when all is settled."""
        return {"ended": True}
