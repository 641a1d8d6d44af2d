-- The shop. Money is in integer cents, dates are ISO text, ids are text.
-- Tables without a rowid keep a row next to its key: less memory, one look-up less.
-- Checks are plain comparisons: IN and GLOB cost a third of the time that a world takes to open.

CREATE TABLE customers (
    customer_id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT NOT NULL UNIQUE COLLATE NOCASE
) WITHOUT ROWID;

CREATE TABLE addresses (
    address_id TEXT NOT NULL,
    customer_id TEXT NOT NULL REFERENCES customers,
    street TEXT NOT NULL,
    city TEXT NOT NULL,
    postal_code TEXT NOT NULL,
    PRIMARY KEY (customer_id, address_id)
) WITHOUT ROWID;

CREATE TABLE payment_methods (
    payment_method_id TEXT NOT NULL PRIMARY KEY,
    customer_id TEXT NOT NULL REFERENCES customers,
    kind TEXT NOT NULL CHECK (kind = 'card' OR kind = 'paypal' OR kind = 'gift_card'),
    label TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE products (
    product_id TEXT NOT NULL PRIMARY KEY,
    title TEXT NOT NULL UNIQUE,
    category TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE variants (
    variant_id TEXT NOT NULL PRIMARY KEY,
    product_id TEXT NOT NULL REFERENCES products,
    option TEXT NOT NULL,
    price_cents INTEGER NOT NULL CHECK (price_cents > 0),
    UNIQUE (product_id, option)
) WITHOUT ROWID;

CREATE TABLE inventory (
    variant_id TEXT NOT NULL PRIMARY KEY REFERENCES variants,
    quantity INTEGER NOT NULL CHECK (quantity >= 0)
) WITHOUT ROWID;

CREATE TABLE orders (
    order_id TEXT NOT NULL PRIMARY KEY,
    customer_id TEXT NOT NULL REFERENCES customers,
    placed_on TEXT NOT NULL CHECK (placed_on BETWEEN '2000-01-01' AND '2099-12-31'),
    status TEXT NOT NULL CHECK (status = 'processing' OR status = 'shipped' OR status = 'delivered')
) WITHOUT ROWID;
CREATE INDEX orders_by_customer ON orders (customer_id);

CREATE TABLE order_items (
    item_id TEXT NOT NULL PRIMARY KEY,
    order_id TEXT NOT NULL REFERENCES orders,
    variant_id TEXT NOT NULL REFERENCES variants,
    title TEXT NOT NULL,
    price_cents INTEGER NOT NULL CHECK (price_cents > 0),
    final_sale INTEGER NOT NULL CHECK (final_sale = 0 OR final_sale = 1),
    status TEXT NOT NULL CHECK (status = 'ordered' OR status = 'refunded' OR status = 'credited' OR status = 'exchanged')
) WITHOUT ROWID;
CREATE INDEX order_items_by_order ON order_items (order_id);

CREATE TABLE shipments (
    shipment_id TEXT NOT NULL,
    order_id TEXT NOT NULL PRIMARY KEY REFERENCES orders,
    carrier TEXT NOT NULL,
    shipped_on TEXT NOT NULL CHECK (shipped_on BETWEEN '2000-01-01' AND '2099-12-31'),
    expected_on TEXT NOT NULL CHECK (expected_on BETWEEN '2000-01-01' AND '2099-12-31'),
    delivered_on TEXT CHECK (delivered_on BETWEEN '2000-01-01' AND '2099-12-31')
) WITHOUT ROWID;

CREATE TABLE payments (
    payment_id TEXT NOT NULL PRIMARY KEY,
    order_id TEXT NOT NULL REFERENCES orders,
    payment_method_id TEXT NOT NULL REFERENCES payment_methods,
    amount_cents INTEGER NOT NULL CHECK (amount_cents > 0)
) WITHOUT ROWID;
CREATE INDEX payments_by_order ON payments (order_id);

CREATE TABLE refunds (
    refund_id TEXT NOT NULL PRIMARY KEY,
    order_id TEXT NOT NULL REFERENCES orders,
    payment_id TEXT NOT NULL REFERENCES payments,
    amount_cents INTEGER NOT NULL CHECK (amount_cents > 0),
    reason TEXT NOT NULL,
    created_on TEXT NOT NULL CHECK (created_on BETWEEN '2000-01-01' AND '2099-12-31')
) WITHOUT ROWID;

-- Which items a refund was for, and how much of it for each; a part of a split may give one nothing.
CREATE TABLE refund_items (
    refund_id TEXT NOT NULL REFERENCES refunds,
    item_id TEXT NOT NULL REFERENCES order_items,
    amount_cents INTEGER NOT NULL CHECK (amount_cents >= 0),
    PRIMARY KEY (refund_id, item_id)
) WITHOUT ROWID;

CREATE TABLE store_credits (
    credit_id TEXT NOT NULL PRIMARY KEY,
    customer_id TEXT NOT NULL REFERENCES customers,
    order_id TEXT NOT NULL REFERENCES orders,
    amount_cents INTEGER NOT NULL CHECK (amount_cents > 0),
    created_on TEXT NOT NULL CHECK (created_on BETWEEN '2000-01-01' AND '2099-12-31')
) WITHOUT ROWID;

CREATE TABLE store_credit_items (
    credit_id TEXT NOT NULL REFERENCES store_credits,
    item_id TEXT NOT NULL REFERENCES order_items,
    PRIMARY KEY (credit_id, item_id)
) WITHOUT ROWID;

CREATE TABLE exchanges (
    exchange_id TEXT NOT NULL PRIMARY KEY,
    order_id TEXT NOT NULL REFERENCES orders,
    item_id TEXT NOT NULL UNIQUE REFERENCES order_items,
    variant_id TEXT NOT NULL REFERENCES variants,
    created_on TEXT NOT NULL CHECK (created_on BETWEEN '2000-01-01' AND '2099-12-31')
) WITHOUT ROWID;

CREATE TABLE tickets (
    ticket_id TEXT NOT NULL PRIMARY KEY,
    reason TEXT NOT NULL,
    summary TEXT NOT NULL,
    created_on TEXT NOT NULL CHECK (created_on BETWEEN '2000-01-01' AND '2099-12-31')
) WITHOUT ROWID;

CREATE TABLE notes (
    note_id TEXT NOT NULL PRIMARY KEY,
    order_id TEXT NOT NULL REFERENCES orders,
    text TEXT NOT NULL,
    created_on TEXT NOT NULL CHECK (created_on BETWEEN '2000-01-01' AND '2099-12-31')
) WITHOUT ROWID;

-- What the customer agreed to. Written by the environment, never by a tool.
CREATE TABLE consents (
    consent_id INTEGER PRIMARY KEY,
    verb TEXT NOT NULL CHECK (verb = 'refund' OR verb = 'store_credit' OR verb = 'exchange'),
    items TEXT NOT NULL,
    amount_cents INTEGER NOT NULL CHECK (amount_cents >= 0),
    step INTEGER NOT NULL
);
