-- The library. Money is in integer cents, dates are ISO text, ids are text.

CREATE TABLE members (
    member_id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT NOT NULL UNIQUE COLLATE NOCASE,
    postal_code TEXT NOT NULL
);

CREATE TABLE books (
    book_id TEXT NOT NULL PRIMARY KEY,
    title TEXT NOT NULL UNIQUE,
    collection TEXT NOT NULL CHECK (collection IN ('general', 'short_loan', 'special'))
);

CREATE TABLE loans (
    loan_id TEXT NOT NULL PRIMARY KEY,
    member_id TEXT NOT NULL REFERENCES members,
    book_id TEXT NOT NULL UNIQUE REFERENCES books,
    lent_on TEXT NOT NULL,
    due_on TEXT NOT NULL CHECK (due_on > lent_on),
    renewals INTEGER NOT NULL CHECK (renewals >= 0),
    note TEXT NOT NULL
);

-- Readers who wait for a book.
CREATE TABLE reservations (
    book_id TEXT NOT NULL REFERENCES books,
    member_id TEXT NOT NULL REFERENCES members,
    made_on TEXT NOT NULL,
    PRIMARY KEY (book_id, member_id)
);

CREATE TABLE fines (
    loan_id TEXT NOT NULL PRIMARY KEY REFERENCES loans,
    amount_cents INTEGER NOT NULL CHECK (amount_cents > 0),
    status TEXT NOT NULL CHECK (status IN ('unpaid', 'paid'))
);

-- What the tools write besides.
CREATE TABLE payments (
    payment_id INTEGER PRIMARY KEY,
    loan_id TEXT NOT NULL REFERENCES fines,
    amount_cents INTEGER NOT NULL CHECK (amount_cents > 0)
);

CREATE TABLE tickets (
    ticket_id INTEGER PRIMARY KEY,
    reason TEXT NOT NULL,
    summary TEXT NOT NULL
);

-- The environment's own record.
CREATE TABLE consents (
    consent_id INTEGER PRIMARY KEY,
    verb TEXT NOT NULL,
    loans TEXT NOT NULL,
    amount_cents INTEGER NOT NULL,
    step INTEGER NOT NULL
);
