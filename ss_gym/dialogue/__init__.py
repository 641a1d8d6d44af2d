"""What an agent can tell of a conversation from what it sees: the customer's words and the tools' results."""
