"""The shop: its database, its tools, its written policy and what the policy gives."""
