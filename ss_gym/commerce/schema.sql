-- The shop. Money is in integer cents, dates are ISO text, ids are text.
-- Tables without a rowid keep a row next to its key: less memory, one look-up less. What belongs to an order has the
-- order first in its key: all of it lies in one place, in the order in which it is read.
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
    status TEXT NOT NULL CHECK (
        status = 'processing' OR status = 'shipped' OR status = 'delivered' OR status = 'cancelled'
    )
) WITHOUT ROWID;
CREATE UNIQUE INDEX orders_by_customer ON orders (customer_id, order_id);

CREATE TABLE order_items (
    item_id TEXT NOT NULL UNIQUE,
    order_id TEXT NOT NULL REFERENCES orders,
    variant_id TEXT NOT NULL REFERENCES variants,
    title TEXT NOT NULL,
    price_cents INTEGER NOT NULL CHECK (price_cents > 0),
    final_sale INTEGER NOT NULL CHECK (final_sale = 0 OR final_sale = 1),
    status TEXT NOT NULL CHECK (
        status = 'ordered' OR status = 'refunded' OR status = 'credited' OR status = 'exchanged' OR status = 'cancelled'
    ),
    PRIMARY KEY (order_id, item_id)
) WITHOUT ROWID;

-- Where an order goes, if that is not the address of the account.
CREATE TABLE destinations (
    order_id TEXT NOT NULL PRIMARY KEY REFERENCES orders,
    street TEXT NOT NULL,
    city TEXT NOT NULL,
    postal_code TEXT NOT NULL
) WITHOUT ROWID;

-- The first part of the postal codes to which nothing is delivered at the moment.
CREATE TABLE unserved_areas (
    area TEXT NOT NULL PRIMARY KEY
) WITHOUT ROWID;

CREATE TABLE shipments (
    shipment_id TEXT NOT NULL,
    order_id TEXT NOT NULL PRIMARY KEY REFERENCES orders,
    carrier TEXT NOT NULL,
    shipped_on TEXT NOT NULL CHECK (shipped_on BETWEEN '2000-01-01' AND '2099-12-31'),
    expected_on TEXT NOT NULL CHECK (expected_on BETWEEN '2000-01-01' AND '2099-12-31'),
    delivered_on TEXT CHECK (delivered_on BETWEEN '2000-01-01' AND '2099-12-31')
) WITHOUT ROWID;

CREATE TABLE payments (
    payment_id TEXT NOT NULL UNIQUE,
    order_id TEXT NOT NULL REFERENCES orders,
    payment_method_id TEXT NOT NULL REFERENCES payment_methods,
    amount_cents INTEGER NOT NULL CHECK (amount_cents > 0),
    PRIMARY KEY (order_id, payment_id)
) WITHOUT ROWID;

CREATE TABLE refunds (
    refund_id TEXT NOT NULL PRIMARY KEY,
    order_id TEXT NOT NULL REFERENCES orders,
    payment_id TEXT NOT NULL REFERENCES payments (payment_id),
    amount_cents INTEGER NOT NULL CHECK (amount_cents > 0),
    reason TEXT NOT NULL,
    created_on TEXT NOT NULL CHECK (created_on BETWEEN '2000-01-01' AND '2099-12-31')
) WITHOUT ROWID;

-- Which items a refund was for, and how much of it for each; a part of a split may give one nothing.
CREATE TABLE refund_items (
    refund_id TEXT NOT NULL REFERENCES refunds,
    item_id TEXT NOT NULL REFERENCES order_items (item_id),
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
    item_id TEXT NOT NULL REFERENCES order_items (item_id),
    PRIMARY KEY (credit_id, item_id)
) WITHOUT ROWID;

-- Store credit given as an apology, for an order as a whole.
CREATE TABLE goodwill_credits (
    credit_id TEXT NOT NULL PRIMARY KEY,
    customer_id TEXT NOT NULL REFERENCES customers,
    order_id TEXT NOT NULL REFERENCES orders,
    amount_cents INTEGER NOT NULL CHECK (amount_cents > 0 AND amount_cents <= 5000),
    created_on TEXT NOT NULL CHECK (created_on BETWEEN '2000-01-01' AND '2099-12-31')
) WITHOUT ROWID;
CREATE INDEX goodwill_credits_by_order ON goodwill_credits (order_id);

CREATE TABLE exchanges (
    exchange_id TEXT NOT NULL PRIMARY KEY,
    order_id TEXT NOT NULL REFERENCES orders,
    item_id TEXT NOT NULL UNIQUE REFERENCES order_items (item_id),
    variant_id TEXT NOT NULL REFERENCES variants,
    created_on TEXT NOT NULL CHECK (created_on BETWEEN '2000-01-01' AND '2099-12-31')
) WITHOUT ROWID;

-- Days that were bought on top of the warranty that every item of its category has.
CREATE TABLE extended_warranties (
    item_id TEXT NOT NULL PRIMARY KEY REFERENCES order_items (item_id),
    days INTEGER NOT NULL CHECK (days > 0)
) WITHOUT ROWID;

CREATE TABLE claims (
    claim_id TEXT NOT NULL PRIMARY KEY,
    item_id TEXT NOT NULL REFERENCES order_items (item_id),
    remedy TEXT NOT NULL CHECK (remedy = 'replacement' OR remedy = 'repair'),
    created_on TEXT NOT NULL CHECK (created_on BETWEEN '2000-01-01' AND '2099-12-31')
) WITHOUT ROWID;
CREATE INDEX claims_by_item ON claims (item_id);

CREATE TABLE subscriptions (
    subscription_id TEXT NOT NULL PRIMARY KEY,
    customer_id TEXT NOT NULL REFERENCES customers,
    variant_id TEXT NOT NULL REFERENCES variants,
    title TEXT NOT NULL,
    price_cents INTEGER NOT NULL CHECK (price_cents > 0),
    status TEXT NOT NULL CHECK (status = 'active' OR status = 'paused' OR status = 'cancelled'),
    started_on TEXT NOT NULL CHECK (started_on BETWEEN '2000-01-01' AND '2099-12-31'),
    next_charge_on TEXT CHECK (next_charge_on BETWEEN '2000-01-01' AND '2099-12-31'),
    committed_until TEXT NOT NULL CHECK (committed_until BETWEEN '2000-01-01' AND '2099-12-31')
) WITHOUT ROWID;
CREATE INDEX subscriptions_by_customer ON subscriptions (customer_id);

-- What the customer was charged for leaving a subscription early.
CREATE TABLE fees (
    fee_id TEXT NOT NULL PRIMARY KEY,
    subscription_id TEXT NOT NULL REFERENCES subscriptions,
    amount_cents INTEGER NOT NULL CHECK (amount_cents > 0),
    created_on TEXT NOT NULL CHECK (created_on BETWEEN '2000-01-01' AND '2099-12-31')
) WITHOUT ROWID;

CREATE TABLE tickets (
    ticket_id TEXT NOT NULL PRIMARY KEY,
    reason TEXT NOT NULL,
    summary TEXT NOT NULL,
    created_on TEXT NOT NULL CHECK (created_on BETWEEN '2000-01-01' AND '2099-12-31')
) WITHOUT ROWID;

CREATE TABLE notes (
    note_id TEXT NOT NULL,
    order_id TEXT NOT NULL REFERENCES orders,
    text TEXT NOT NULL,
    created_on TEXT NOT NULL CHECK (created_on BETWEEN '2000-01-01' AND '2099-12-31'),
    PRIMARY KEY (order_id, note_id)
) WITHOUT ROWID;

-- What the customer agreed to. Written by the environment, never by a tool.
CREATE TABLE consents (
    consent_id INTEGER PRIMARY KEY,
    verb TEXT NOT NULL,
    items TEXT NOT NULL,
    amount_cents INTEGER NOT NULL CHECK (amount_cents >= 0),
    step INTEGER NOT NULL
);
