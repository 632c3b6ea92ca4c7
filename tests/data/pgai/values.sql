-- Types for the columns of values.py.
CREATE EXTENSION IF NOT EXISTS vector;
CREATE EXTENSION hstore;
CREATE EXTENSION citext;
CREATE TYPE mood AS ENUM ('sad', 'it''s "fine"');
CREATE TYPE pair AS (number int, text text);
CREATE TYPE floatrange AS RANGE (subtype = float8);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN price AS numeric(10, 2);
CREATE DOMAIN cheap AS price CHECK (VALUE < 10);
CREATE DOMAIN tags AS text[];
CREATE DOMAIN document AS jsonb;
CREATE TABLE other (id int);
