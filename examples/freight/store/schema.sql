CREATE TABLE IF NOT EXISTS users (
	id      TEXT   PRIMARY KEY,
	email   TEXT   NOT NULL UNIQUE,
	name    TEXT   NOT NULL,
	role    TEXT   NOT NULL,
	phone   TEXT   NOT NULL,
	city    TEXT   NOT NULL,
	plate   TEXT   NOT NULL, -- of a driver's truck
	secret  TEXT   NOT NULL,
	created BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS loads (
	id          TEXT   PRIMARY KEY,
	request     TEXT   NOT NULL UNIQUE, -- the form's own name: sent twice, it is one load
	shipper     TEXT   NOT NULL,
	origin      TEXT   NOT NULL,
	destination TEXT   NOT NULL,
	cargo       TEXT   NOT NULL,
	kg          BIGINT NOT NULL,
	price       BIGINT NOT NULL, -- euros that the shipper hopes for
	pickup      BIGINT NOT NULL,
	driver      TEXT   NOT NULL, -- who has it; empty while it is open
	km          BIGINT NOT NULL, -- by the distance job; 0 until then
	measured    BIGINT NOT NULL, -- how often that job has had its effect
	created     BIGINT NOT NULL
);
CREATE INDEX IF NOT EXISTS loads_open ON loads (driver, created);
CREATE INDEX IF NOT EXISTS loads_shipper ON loads (shipper, created);
CREATE TABLE IF NOT EXISTS bids (
	id      TEXT   PRIMARY KEY,
	load    TEXT   NOT NULL,
	driver  TEXT   NOT NULL,
	price   BIGINT NOT NULL,
	created BIGINT NOT NULL,
	UNIQUE (load, driver)
);
CREATE INDEX IF NOT EXISTS bids_driver ON bids (driver, created);
CREATE TABLE IF NOT EXISTS letters (
	event     TEXT   NOT NULL, -- why it is to be sent: bid:ID:WHEN or booked:LOAD
	kind      TEXT   NOT NULL, -- email or sms
	recipient TEXT   NOT NULL, -- a user's id
	load      TEXT   NOT NULL,
	price     BIGINT NOT NULL,
	sent      BIGINT NOT NULL, -- when; 0 until then
	created   BIGINT NOT NULL,
	PRIMARY KEY (event, kind)
);
CREATE INDEX IF NOT EXISTS letters_owed ON letters (sent, created);
CREATE TABLE IF NOT EXISTS messages (
	id        TEXT   PRIMARY KEY,
	kind      TEXT   NOT NULL,
	recipient TEXT   NOT NULL,
	subject   TEXT   NOT NULL,
	body      TEXT   NOT NULL,
	event     TEXT   NOT NULL,
	request   TEXT   NOT NULL, -- the name that the provider was given for it
	created   BIGINT NOT NULL
);
CREATE INDEX IF NOT EXISTS messages_recipient ON messages (recipient, created);
CREATE INDEX IF NOT EXISTS messages_request ON messages (request);
