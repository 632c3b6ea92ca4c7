--
-- PostgreSQL database dump
--

\restrict rei3JbeaKp1DECaT2IWQmvmFVzI2nqkUVOsWVNjwxT7EJLJ8pxl0YC4Mhsgd6qC

-- Dumped from database version 15.20 (Debian 15.20-0+deb12u1)
-- Dumped by pg_dump version 15.20 (Debian 15.20-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: ai; Type: SCHEMA; Schema: -; Owner: postgres
--

CREATE SCHEMA ai;


ALTER SCHEMA ai OWNER TO postgres;

--
-- Name: app; Type: SCHEMA; Schema: -; Owner: postgres
--

CREATE SCHEMA app;


ALTER SCHEMA app OWNER TO postgres;

--
-- Name: vector; Type: EXTENSION; Schema: -; Owner: -
--

CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;


--
-- Name: EXTENSION vector; Type: COMMENT; Schema: -; Owner: 
--

COMMENT ON EXTENSION vector IS 'vector data type and ivfflat and hnsw access methods';


--
-- Name: ai; Type: EXTENSION; Schema: -; Owner: -
--

CREATE EXTENSION IF NOT EXISTS ai WITH SCHEMA ai;


--
-- Name: EXTENSION ai; Type: COMMENT; Schema: -; Owner: 
--

COMMENT ON EXTENSION ai IS 'embeddings that stay true: documents become vectors inside Postgres';


--
-- Name: _vectorizer_src_trg_1(); Type: FUNCTION; Schema: ai; Owner: postgres
--

CREATE FUNCTION ai._vectorizer_src_trg_1() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$-- Runs in the statement of whoever writes to the source, as the owner of the vectorizer. It locks source rows (already
-- locked by the statement), then queue rows: the worker takes them in the same order.
-- A column of the source may be called found, or old.
#variable_conflict use_column
DECLARE
    queued bool;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        TRUNCATE app.doc_embedding_store, ai._vectorizer_q_1, ai._vectorizer_q_failed_1;
        PERFORM ai._forget_errors(1, NULL);
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' THEN
        DELETE FROM app.doc_embedding_store t USING old_rows o WHERE t.tenant OPERATOR(pg_catalog.=) o.tenant AND t.id OPERATOR(pg_catalog.=) o.id;
        DELETE FROM ai._vectorizer_q_1 q USING old_rows o WHERE q.tenant OPERATOR(pg_catalog.=) o.tenant AND q.id OPERATOR(pg_catalog.=) o.id;
        queued := FOUND;
        DELETE FROM ai._vectorizer_q_failed_1 q USING old_rows o WHERE q.tenant OPERATOR(pg_catalog.=) o.tenant AND q.id OPERATOR(pg_catalog.=) o.id;
        IF FOUND OR queued THEN
            PERFORM ai._forget_errors(1, (SELECT jsonb_agg(jsonb_build_object('tenant', o.tenant, 'id', o.id)) FROM old_rows o));
        END IF;
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        -- The worker writes vectors into columns of the source: no news.
        IF current_setting('ai.writing', true) = 'on' THEN
            RETURN NULL;
        END IF;
        -- Keys that are no more.
        DELETE FROM app.doc_embedding_store t USING old_rows o WHERE t.tenant OPERATOR(pg_catalog.=) o.tenant AND t.id OPERATOR(pg_catalog.=) o.id AND NOT EXISTS (SELECT FROM new_rows n WHERE n.tenant OPERATOR(pg_catalog.=) o.tenant AND n.id OPERATOR(pg_catalog.=) o.id);
        DELETE FROM ai._vectorizer_q_1 q USING old_rows o
        WHERE q.tenant OPERATOR(pg_catalog.=) o.tenant AND q.id OPERATOR(pg_catalog.=) o.id AND NOT EXISTS (SELECT FROM new_rows n WHERE n.tenant OPERATOR(pg_catalog.=) o.tenant AND n.id OPERATOR(pg_catalog.=) o.id);
        queued := FOUND;
        DELETE FROM ai._vectorizer_q_failed_1 q USING old_rows o
        WHERE q.tenant OPERATOR(pg_catalog.=) o.tenant AND q.id OPERATOR(pg_catalog.=) o.id AND NOT EXISTS (SELECT FROM new_rows n WHERE n.tenant OPERATOR(pg_catalog.=) o.tenant AND n.id OPERATOR(pg_catalog.=) o.id);
        IF FOUND OR queued THEN
            PERFORM ai._forget_errors(1, (
                SELECT jsonb_agg(jsonb_build_object('tenant', o.tenant, 'id', o.id)) FROM old_rows o
                WHERE NOT EXISTS (SELECT FROM new_rows n WHERE n.tenant OPERATOR(pg_catalog.=) o.tenant AND n.id OPERATOR(pg_catalog.=) o.id)));
        END IF;
        -- Rows that differ, byte for byte: not every type has an equality operator.
        INSERT INTO ai._vectorizer_q_1 AS q (tenant, id)
        SELECT n.tenant, n.id FROM new_rows n
        WHERE NOT EXISTS (SELECT FROM old_rows o WHERE n.tenant OPERATOR(pg_catalog.=) o.tenant AND n.id OPERATOR(pg_catalog.=) o.id AND record_image_eq(o.*, n.*))
        ON CONFLICT (tenant, id) DO UPDATE SET version = q.version + 1,
            queued_at = now(),
            backfill = false,
            loading_retries = 0,
            loading_retry_after = NULL,
            attempts = CASE WHEN q.lease IS NULL THEN 0 ELSE q.attempts END,
            crashes = CASE WHEN q.lease IS NULL THEN 0 ELSE q.crashes END;
    ELSE
        INSERT INTO ai._vectorizer_q_1 AS q (tenant, id)
        SELECT n.tenant, n.id FROM new_rows n
        ON CONFLICT (tenant, id) DO UPDATE SET version = q.version + 1,
            queued_at = now(),
            backfill = false,
            loading_retries = 0,
            loading_retry_after = NULL,
            attempts = CASE WHEN q.lease IS NULL THEN 0 ELSE q.attempts END,
            crashes = CASE WHEN q.lease IS NULL THEN 0 ELSE q.crashes END;
    END IF;
    IF FOUND THEN
        PERFORM ai._wake_worker();
        -- A dump that was restored by somebody who may not write to the catalogue.
        IF NOT EXISTS (SELECT FROM ai._vectorizer v WHERE v.id = 1 AND v.queue = 'ai._vectorizer_q_1'::regclass) THEN
            RAISE WARNING 'the vectorizer of table % is not in the catalogue: nothing is embedded', 'app.doc'::regclass
                USING HINT = 'Restore the dump as superuser, or drop the function of this trigger and make the vectorizer anew.';
        END IF;
    END IF;
    RETURN NULL;
END
$$;
ALTER FUNCTION ai._vectorizer_src_trg_1() DEPENDS ON EXTENSION ai;


ALTER FUNCTION ai._vectorizer_src_trg_1() OWNER TO postgres;

--
-- Name: _vectorizer_src_trg_3(); Type: FUNCTION; Schema: ai; Owner: postgres
--

CREATE FUNCTION ai._vectorizer_src_trg_3() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$-- The trigger of a partitioned source: by row, because a statement trigger of the parent does not see statements on its
-- partitions. Otherwise as in trigger_body.sql.
#variable_conflict use_column
DECLARE
    queued bool;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        TRUNCATE app.news_embedding_store, ai._vectorizer_q_3, ai._vectorizer_q_failed_3;
        PERFORM ai._forget_errors(3, NULL);
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF current_setting('ai.writing', true) = 'on' OR record_image_eq(old.*, new.*) THEN
            RETURN NULL;
        END IF;
    END IF;
    IF TG_OP = 'DELETE' OR (TG_OP = 'UPDATE' AND NOT (new.day OPERATOR(pg_catalog.=) old.day AND new.id OPERATOR(pg_catalog.=) old.id)) THEN
        DELETE FROM app.news_embedding_store t WHERE t.day OPERATOR(pg_catalog.=) old.day AND t.id OPERATOR(pg_catalog.=) old.id;
        DELETE FROM ai._vectorizer_q_3 q WHERE q.day OPERATOR(pg_catalog.=) old.day AND q.id OPERATOR(pg_catalog.=) old.id;
        queued := FOUND;
        DELETE FROM ai._vectorizer_q_failed_3 q WHERE q.day OPERATOR(pg_catalog.=) old.day AND q.id OPERATOR(pg_catalog.=) old.id;
        IF FOUND OR queued THEN
            PERFORM ai._forget_errors(3, jsonb_build_array(jsonb_build_object('day', old.day, 'id', old.id)));
        END IF;
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        INSERT INTO ai._vectorizer_q_3 AS q (day, id) VALUES (new.day, new.id) ON CONFLICT (day, id) DO UPDATE SET version = q.version + 1,
            queued_at = now(),
            backfill = false,
            loading_retries = 0,
            loading_retry_after = NULL,
            attempts = CASE WHEN q.lease IS NULL THEN 0 ELSE q.attempts END,
            crashes = CASE WHEN q.lease IS NULL THEN 0 ELSE q.crashes END;
        PERFORM ai._wake_worker();
        -- A dump that was restored by somebody who may not write to the catalogue.
        IF NOT EXISTS (SELECT FROM ai._vectorizer v WHERE v.id = 3 AND v.queue = 'ai._vectorizer_q_3'::regclass) THEN
            RAISE WARNING 'the vectorizer of table % is not in the catalogue: nothing is embedded', 'app.news'::regclass
                USING HINT = 'Restore the dump as superuser, or drop the function of this trigger and make the vectorizer anew.';
        END IF;
    END IF;
    RETURN NULL;
END
$$;
ALTER FUNCTION ai._vectorizer_src_trg_3() DEPENDS ON EXTENSION ai;


ALTER FUNCTION ai._vectorizer_src_trg_3() OWNER TO postgres;

--
-- Name: _vectorizer_src_trg_2(); Type: FUNCTION; Schema: app; Owner: postgres
--

CREATE FUNCTION app._vectorizer_src_trg_2() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$-- Runs in the statement of whoever writes to the source, as the owner of the vectorizer. It locks source rows (already
-- locked by the statement), then queue rows: the worker takes them in the same order.
-- A column of the source may be called found, or old.
#variable_conflict use_column
DECLARE
    queued bool;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        TRUNCATE app._vectorizer_q_2, app._vectorizer_q_failed_2;
        PERFORM ai._forget_errors(2, NULL);
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' THEN
        
        DELETE FROM app._vectorizer_q_2 q USING old_rows o WHERE q."Key" OPERATOR(pg_catalog.=) o."Key";
        queued := FOUND;
        DELETE FROM app._vectorizer_q_failed_2 q USING old_rows o WHERE q."Key" OPERATOR(pg_catalog.=) o."Key";
        IF FOUND OR queued THEN
            PERFORM ai._forget_errors(2, (SELECT jsonb_agg(jsonb_build_object('Key', o."Key")) FROM old_rows o));
        END IF;
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        -- The worker writes vectors into columns of the source: no news.
        IF current_setting('ai.writing', true) = 'on' THEN
            RETURN NULL;
        END IF;
        -- Keys that are no more.
        
        DELETE FROM app._vectorizer_q_2 q USING old_rows o
        WHERE q."Key" OPERATOR(pg_catalog.=) o."Key" AND NOT EXISTS (SELECT FROM new_rows n WHERE n."Key" OPERATOR(pg_catalog.=) o."Key");
        queued := FOUND;
        DELETE FROM app._vectorizer_q_failed_2 q USING old_rows o
        WHERE q."Key" OPERATOR(pg_catalog.=) o."Key" AND NOT EXISTS (SELECT FROM new_rows n WHERE n."Key" OPERATOR(pg_catalog.=) o."Key");
        IF FOUND OR queued THEN
            PERFORM ai._forget_errors(2, (
                SELECT jsonb_agg(jsonb_build_object('Key', o."Key")) FROM old_rows o
                WHERE NOT EXISTS (SELECT FROM new_rows n WHERE n."Key" OPERATOR(pg_catalog.=) o."Key")));
        END IF;
        -- Rows that differ, byte for byte: not every type has an equality operator.
        INSERT INTO app._vectorizer_q_2 AS q ("Key")
        SELECT n."Key" FROM new_rows n
        WHERE NOT EXISTS (SELECT FROM old_rows o WHERE n."Key" OPERATOR(pg_catalog.=) o."Key" AND record_image_eq(ROW(o."Key", o.body), ROW(n."Key", n.body)))
        ON CONFLICT ("Key") DO UPDATE SET version = q.version + 1,
            queued_at = now(),
            backfill = false,
            loading_retries = 0,
            loading_retry_after = NULL,
            attempts = CASE WHEN q.lease IS NULL THEN 0 ELSE q.attempts END,
            crashes = CASE WHEN q.lease IS NULL THEN 0 ELSE q.crashes END;
    ELSE
        INSERT INTO app._vectorizer_q_2 AS q ("Key")
        SELECT n."Key" FROM new_rows n
        ON CONFLICT ("Key") DO UPDATE SET version = q.version + 1,
            queued_at = now(),
            backfill = false,
            loading_retries = 0,
            loading_retry_after = NULL,
            attempts = CASE WHEN q.lease IS NULL THEN 0 ELSE q.attempts END,
            crashes = CASE WHEN q.lease IS NULL THEN 0 ELSE q.crashes END;
    END IF;
    IF FOUND THEN
        PERFORM ai._wake_worker();
        -- A dump that was restored by somebody who may not write to the catalogue.
        IF NOT EXISTS (SELECT FROM ai._vectorizer v WHERE v.id = 2 AND v.queue = 'app._vectorizer_q_2'::regclass) THEN
            RAISE WARNING 'the vectorizer of table % is not in the catalogue: nothing is embedded', 'app."Note"'::regclass
                USING HINT = 'Restore the dump as superuser, or drop the function of this trigger and make the vectorizer anew.';
        END IF;
    END IF;
    RETURN NULL;
END
$$;
ALTER FUNCTION app._vectorizer_src_trg_2() DEPENDS ON EXTENSION ai;


ALTER FUNCTION app._vectorizer_src_trg_2() OWNER TO postgres;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: _vectorizer_q_1; Type: TABLE; Schema: ai; Owner: postgres
--

CREATE TABLE ai._vectorizer_q_1 (
    tenant integer NOT NULL,
    id integer NOT NULL,
    queued_at timestamp with time zone DEFAULT now() NOT NULL,
    loading_retries integer DEFAULT 0 NOT NULL,
    loading_retry_after timestamp with time zone,
    item bigint NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    backfill boolean DEFAULT false NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    crashes integer DEFAULT 0 NOT NULL,
    lease bigint,
    lease_taken_at timestamp with time zone,
    lease_expires_at timestamp with time zone
);


ALTER TABLE ai._vectorizer_q_1 OWNER TO postgres;

--
-- Name: _vectorizer_q_1_item_seq; Type: SEQUENCE; Schema: ai; Owner: postgres
--

ALTER TABLE ai._vectorizer_q_1 ALTER COLUMN item ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ai._vectorizer_q_1_item_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: _vectorizer_q_3; Type: TABLE; Schema: ai; Owner: postgres
--

CREATE TABLE ai._vectorizer_q_3 (
    id integer NOT NULL,
    day date NOT NULL,
    queued_at timestamp with time zone DEFAULT now() NOT NULL,
    loading_retries integer DEFAULT 0 NOT NULL,
    loading_retry_after timestamp with time zone,
    item bigint NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    backfill boolean DEFAULT false NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    crashes integer DEFAULT 0 NOT NULL,
    lease bigint,
    lease_taken_at timestamp with time zone,
    lease_expires_at timestamp with time zone
);


ALTER TABLE ai._vectorizer_q_3 OWNER TO postgres;

--
-- Name: _vectorizer_q_3_item_seq; Type: SEQUENCE; Schema: ai; Owner: postgres
--

ALTER TABLE ai._vectorizer_q_3 ALTER COLUMN item ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ai._vectorizer_q_3_item_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: _vectorizer_q_failed_1; Type: TABLE; Schema: ai; Owner: postgres
--

CREATE TABLE ai._vectorizer_q_failed_1 (
    tenant integer NOT NULL,
    id integer NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    failure_step text DEFAULT ''::text NOT NULL,
    class text DEFAULT 'unknown'::text NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL
);


ALTER TABLE ai._vectorizer_q_failed_1 OWNER TO postgres;

--
-- Name: _vectorizer_q_failed_3; Type: TABLE; Schema: ai; Owner: postgres
--

CREATE TABLE ai._vectorizer_q_failed_3 (
    id integer NOT NULL,
    day date NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    failure_step text DEFAULT ''::text NOT NULL,
    class text DEFAULT 'unknown'::text NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL
);


ALTER TABLE ai._vectorizer_q_failed_3 OWNER TO postgres;

--
-- Name: Note; Type: TABLE; Schema: app; Owner: postgres
--

CREATE TABLE app."Note" (
    "Key" text NOT NULL,
    body text,
    vec public.vector(4) DEFAULT NULL::public.vector
);
ALTER TABLE ONLY app."Note" ALTER COLUMN vec SET STORAGE MAIN;


ALTER TABLE app."Note" OWNER TO postgres;

--
-- Name: _vectorizer_q_2; Type: TABLE; Schema: app; Owner: postgres
--

CREATE TABLE app._vectorizer_q_2 (
    "Key" text NOT NULL,
    queued_at timestamp with time zone DEFAULT now() NOT NULL,
    loading_retries integer DEFAULT 0 NOT NULL,
    loading_retry_after timestamp with time zone,
    item bigint NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    backfill boolean DEFAULT false NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    crashes integer DEFAULT 0 NOT NULL,
    lease bigint,
    lease_taken_at timestamp with time zone,
    lease_expires_at timestamp with time zone
);


ALTER TABLE app._vectorizer_q_2 OWNER TO postgres;

--
-- Name: _vectorizer_q_2_item_seq; Type: SEQUENCE; Schema: app; Owner: postgres
--

ALTER TABLE app._vectorizer_q_2 ALTER COLUMN item ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME app._vectorizer_q_2_item_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: _vectorizer_q_failed_2; Type: TABLE; Schema: app; Owner: postgres
--

CREATE TABLE app._vectorizer_q_failed_2 (
    "Key" text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    failure_step text DEFAULT ''::text NOT NULL,
    class text DEFAULT 'unknown'::text NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL
);


ALTER TABLE app._vectorizer_q_failed_2 OWNER TO postgres;

--
-- Name: doc; Type: TABLE; Schema: app; Owner: postgres
--

CREATE TABLE app.doc (
    tenant integer NOT NULL,
    id integer NOT NULL,
    title text,
    body text
);


ALTER TABLE app.doc OWNER TO postgres;

--
-- Name: doc_embedding_store; Type: TABLE; Schema: app; Owner: postgres
--

CREATE TABLE app.doc_embedding_store (
    embedding_uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    tenant integer NOT NULL,
    id integer NOT NULL,
    chunk_seq integer NOT NULL,
    chunk text NOT NULL,
    embedding public.vector(8) NOT NULL
);
ALTER TABLE ONLY app.doc_embedding_store ALTER COLUMN embedding SET STORAGE MAIN;


ALTER TABLE app.doc_embedding_store OWNER TO postgres;

--
-- Name: doc_embedding; Type: VIEW; Schema: app; Owner: postgres
--

CREATE VIEW app.doc_embedding AS
 SELECT t.embedding_uuid,
    t.chunk_seq,
    t.chunk,
    t.embedding,
    t.tenant,
    t.id,
    s.title,
    s.body
   FROM (app.doc_embedding_store t
     LEFT JOIN app.doc s ON (((s.tenant = t.tenant) AND (s.id = t.id))));


ALTER TABLE app.doc_embedding OWNER TO postgres;

--
-- Name: news; Type: TABLE; Schema: app; Owner: postgres
--

CREATE TABLE app.news (
    id integer NOT NULL,
    day date NOT NULL,
    body text
)
PARTITION BY RANGE (day);


ALTER TABLE app.news OWNER TO postgres;

--
-- Name: news_25; Type: TABLE; Schema: app; Owner: postgres
--

CREATE TABLE app.news_25 (
    id integer NOT NULL,
    day date NOT NULL,
    body text
);


ALTER TABLE app.news_25 OWNER TO postgres;

--
-- Name: news_26; Type: TABLE; Schema: app; Owner: postgres
--

CREATE TABLE app.news_26 (
    id integer NOT NULL,
    day date NOT NULL,
    body text
);


ALTER TABLE app.news_26 OWNER TO postgres;

--
-- Name: news_embedding_store; Type: TABLE; Schema: app; Owner: postgres
--

CREATE TABLE app.news_embedding_store (
    embedding_uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    id integer NOT NULL,
    day date NOT NULL,
    chunk_seq integer NOT NULL,
    chunk text NOT NULL,
    embedding public.vector(8) NOT NULL
);
ALTER TABLE ONLY app.news_embedding_store ALTER COLUMN embedding SET STORAGE MAIN;


ALTER TABLE app.news_embedding_store OWNER TO postgres;

--
-- Name: news_embedding; Type: VIEW; Schema: app; Owner: postgres
--

CREATE VIEW app.news_embedding AS
 SELECT t.embedding_uuid,
    t.chunk_seq,
    t.chunk,
    t.embedding,
    t.id,
    t.day,
    s.body
   FROM (app.news_embedding_store t
     LEFT JOIN app.news s ON (((s.day = t.day) AND (s.id = t.id))));


ALTER TABLE app.news_embedding OWNER TO postgres;

--
-- Name: news_25; Type: TABLE ATTACH; Schema: app; Owner: postgres
--

ALTER TABLE ONLY app.news ATTACH PARTITION app.news_25 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');


--
-- Name: news_26; Type: TABLE ATTACH; Schema: app; Owner: postgres
--

ALTER TABLE ONLY app.news ATTACH PARTITION app.news_26 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');


--
-- Data for Name: _vectorizer; Type: TABLE DATA; Schema: ai; Owner: postgres
--

COPY ai._vectorizer (id, name, source, source_pk, queue, queue_failed, target, view, trigger_function, trigger_name, config, disabled, columns, place) FROM stdin;
1	chunks	app.doc	[{"pknum": 1, "attnum": 1, "attname": "tenant", "typname": "integer"}, {"pknum": 2, "attnum": 2, "attname": "id", "typname": "integer"}]	ai._vectorizer_q_1	ai._vectorizer_q_failed_1	app.doc_embedding_store	app.doc_embedding	ai._vectorizer_src_trg_1	_vectorizer_src_trg_1	{"loading": {"retries": 6, "column_name": "body", "config_type": "loading", "implementation": "column"}, "parsing": {"config_type": "parsing", "implementation": "auto"}, "version": "0.1.0", "chunking": {"chunk_size": 800, "separators": ["\\n\\n", "\\n", ".", "?", "!", " ", ""], "config_type": "chunking", "chunk_overlap": 400, "implementation": "recursive_character_text_splitter", "is_separator_regex": false}, "indexing": {"config_type": "indexing", "implementation": "none"}, "embedding": {"model": "text-embedding-3-small", "dimensions": 8, "config_type": "embedding", "api_key_name": "OPENAI_API_KEY", "implementation": "openai"}, "formatting": {"template": "$title: $chunk", "config_type": "formatting", "implementation": "python_template"}, "processing": {"config_type": "processing", "implementation": "default"}, "scheduling": {"config_type": "scheduling", "implementation": "default"}, "destination": {"view_name": "doc_embedding", "config_type": "destination", "view_schema": "app", "target_table": "doc_embedding_store", "target_schema": "app", "implementation": "table"}}	f	{"body": 4, "title": 3}	7711489267506035510/16858/17334
2	vectors	app."Note"	[{"pknum": 1, "attnum": 1, "attname": "Key", "typname": "text"}]	app._vectorizer_q_2	app._vectorizer_q_failed_2	\N	\N	app._vectorizer_src_trg_2	_vectorizer_src_trg_2	{"loading": {"retries": 6, "column_name": "body", "config_type": "loading", "implementation": "column"}, "parsing": {"config_type": "parsing", "implementation": "auto"}, "version": "0.1.0", "chunking": {"config_type": "chunking", "implementation": "none"}, "indexing": {"config_type": "indexing", "implementation": "none"}, "embedding": {"model": "text-embedding-3-small", "dimensions": 4, "config_type": "embedding", "api_key_name": "OPENAI_API_KEY", "implementation": "openai"}, "formatting": {"template": "$chunk", "config_type": "formatting", "implementation": "python_template"}, "processing": {"config_type": "processing", "implementation": "default"}, "scheduling": {"config_type": "scheduling", "implementation": "default"}, "destination": {"config_type": "destination", "implementation": "column", "embedding_column": "vec"}}	f	{"vec": 3, "body": 2}	7711489267506035510/16858/17341
3	news	app.news	[{"pknum": 2, "attnum": 1, "attname": "id", "typname": "integer"}, {"pknum": 1, "attnum": 2, "attname": "day", "typname": "date"}]	ai._vectorizer_q_3	ai._vectorizer_q_failed_3	app.news_embedding_store	app.news_embedding	ai._vectorizer_src_trg_3	_vectorizer_src_trg_3	{"loading": {"retries": 6, "column_name": "body", "config_type": "loading", "implementation": "column"}, "parsing": {"config_type": "parsing", "implementation": "auto"}, "version": "0.1.0", "chunking": {"chunk_size": 800, "separators": ["\\n\\n", "\\n", ".", "?", "!", " ", ""], "config_type": "chunking", "chunk_overlap": 400, "implementation": "recursive_character_text_splitter", "is_separator_regex": false}, "indexing": {"config_type": "indexing", "implementation": "none"}, "embedding": {"model": "text-embedding-3-small", "dimensions": 8, "config_type": "embedding", "api_key_name": "OPENAI_API_KEY", "implementation": "openai"}, "formatting": {"template": "$chunk", "config_type": "formatting", "implementation": "python_template"}, "processing": {"config_type": "processing", "implementation": "default"}, "scheduling": {"config_type": "scheduling", "implementation": "default"}, "destination": {"view_name": "news_embedding", "config_type": "destination", "view_schema": "app", "target_table": "news_embedding_store", "target_schema": "app", "implementation": "table"}}	f	{"body": 3}	7711489267506035510/16858/17348
\.


--
-- Data for Name: _vectorizer_errors; Type: TABLE DATA; Schema: ai; Owner: postgres
--

COPY ai._vectorizer_errors (id, message, details, recorded, step, class, primary_key, occurrences, first_recorded) FROM stdin;
1	embedding provider failed	{"step": "embedding", "class": "permanent", "provider": "openai", "primary_key": {"id": 6, "tenant": 6}, "error_reason": "Error code: 400 - {\\"type\\":\\"invalid_request_error\\",\\"param\\":\\"input\\",\\"code\\":\\"invalid_input\\"}", "is_retryable": false}	2026-11-23 21:56:50.710005+00	embedding	permanent	{"id": 6, "tenant": 6}	1	2026-11-23 21:56:50.710005+00
\.


--
-- Data for Name: _vectorizer_q_1; Type: TABLE DATA; Schema: ai; Owner: postgres
--

COPY ai._vectorizer_q_1 (tenant, id, queued_at, loading_retries, loading_retry_after, item, version, backfill, attempts, crashes, lease, lease_taken_at, lease_expires_at) FROM stdin;
1	3	2026-11-23 21:56:50.719723+00	0	\N	5	1	f	1	0	-3488260004543394966	2026-11-23 21:56:50.724795+00	2026-11-23 22:01:50.724795+00
1	4	2026-11-23 21:56:50.719723+00	0	\N	6	1	f	1	0	-3488260004543394966	2026-11-23 21:56:50.724795+00	2026-11-23 22:01:50.724795+00
1	2	2026-11-23 21:56:50.719723+00	0	\N	7	1	f	1	0	-3488260004543394966	2026-11-23 21:56:50.724795+00	2026-11-23 22:01:50.724795+00
\.


--
-- Data for Name: _vectorizer_q_3; Type: TABLE DATA; Schema: ai; Owner: postgres
--

COPY ai._vectorizer_q_3 (id, day, queued_at, loading_retries, loading_retry_after, item, version, backfill, attempts, crashes, lease, lease_taken_at, lease_expires_at) FROM stdin;
3	2026-07-07	2026-11-23 21:56:50.719723+00	0	\N	3	1	f	1	0	-7084634160763924891	2026-11-23 21:56:50.724069+00	2026-11-23 22:01:50.724069+00
\.


--
-- Data for Name: _vectorizer_q_failed_1; Type: TABLE DATA; Schema: ai; Owner: postgres
--

COPY ai._vectorizer_q_failed_1 (tenant, id, created_at, failure_step, class, reason, attempts) FROM stdin;
6	6	2026-11-23 21:56:50.710005+00	embedding	permanent	Error code: 400 - {"type":"invalid_request_error","param":"input","code":"invalid_input"}	1
\.


--
-- Data for Name: _vectorizer_q_failed_3; Type: TABLE DATA; Schema: ai; Owner: postgres
--

COPY ai._vectorizer_q_failed_3 (id, day, created_at, failure_step, class, reason, attempts) FROM stdin;
\.


--
-- Data for Name: _vectorizer_run; Type: TABLE DATA; Schema: ai; Owner: postgres
--

COPY ai._vectorizer_run (id, next_run) FROM stdin;
\.


--
-- Data for Name: Note; Type: TABLE DATA; Schema: app; Owner: postgres
--

COPY app."Note" ("Key", body, vec) FROM stdin;
a	note a	[0,0.70710677,0,0.70710677]
b	note b	[0.41316584,0.11476829,0.41316584,0.80337805]
c	note c	\N
\.


--
-- Data for Name: _vectorizer_q_2; Type: TABLE DATA; Schema: app; Owner: postgres
--

COPY app._vectorizer_q_2 ("Key", queued_at, loading_retries, loading_retry_after, item, version, backfill, attempts, crashes, lease, lease_taken_at, lease_expires_at) FROM stdin;
c	2026-11-23 21:56:50.719723+00	0	\N	3	1	f	1	0	8126811069125270575	2026-11-23 21:56:50.72136+00	2026-11-23 22:01:50.72136+00
\.


--
-- Data for Name: _vectorizer_q_failed_2; Type: TABLE DATA; Schema: app; Owner: postgres
--

COPY app._vectorizer_q_failed_2 ("Key", created_at, failure_step, class, reason, attempts) FROM stdin;
\.


--
-- Data for Name: doc; Type: TABLE DATA; Schema: app; Owner: postgres
--

COPY app.doc (tenant, id, title, body) FROM stdin;
1	1	First	one
2	1	Third	three
6	6	Sixth	poison
1	3	Fourth	four
1	4	Fifth	five
1	2	Second	zwei
\.


--
-- Data for Name: doc_embedding_store; Type: TABLE DATA; Schema: app; Owner: postgres
--

COPY app.doc_embedding_store (embedding_uuid, tenant, id, chunk_seq, chunk, embedding) FROM stdin;
c940c02b-0ba7-4311-bc2c-598219cfc143	1	1	0	First: one	[0.5285164,0.5285164,0,0,0,-0.3699615,-0.15855494,-0.5285164]
0f9d200f-4b1f-47b2-b660-25c004d55134	1	2	0	Second: two	[0.10502101,0.455091,0,0,-0.35007,0,0.105020985,0.805161]
b08bb214-310f-43ec-83f1-20a322afa6fa	2	1	0	Third: three	[-0.48393983,-0.1708023,0.14233524,-0.08540115,0,0.14233524,0.4270057,-0.7116762]
\.


--
-- Data for Name: news_25; Type: TABLE DATA; Schema: app; Owner: postgres
--

COPY app.news_25 (id, day, body) FROM stdin;
1	2025-05-05	five
\.


--
-- Data for Name: news_26; Type: TABLE DATA; Schema: app; Owner: postgres
--

COPY app.news_26 (id, day, body) FROM stdin;
2	2026-06-06	six
3	2026-07-07	seven
\.


--
-- Data for Name: news_embedding_store; Type: TABLE DATA; Schema: app; Owner: postgres
--

COPY app.news_embedding_store (embedding_uuid, id, day, chunk_seq, chunk, embedding) FROM stdin;
dafce50f-ceaf-4b6e-9c67-abea467cdca0	1	2025-05-05	0	five	[0,0,0,0,-0.40824828,-0.40824828,-0.81649655,0]
07e95235-a88a-4911-8497-278d7ff1f2ad	2	2026-06-06	0	six	[0,0,0,0.7071068,0,0,-0.7071068,0]
\.


--
-- Name: _vectorizer_q_1_item_seq; Type: SEQUENCE SET; Schema: ai; Owner: postgres
--

SELECT pg_catalog.setval('ai._vectorizer_q_1_item_seq', 7, true);


--
-- Name: _vectorizer_q_3_item_seq; Type: SEQUENCE SET; Schema: ai; Owner: postgres
--

SELECT pg_catalog.setval('ai._vectorizer_q_3_item_seq', 3, true);


--
-- Name: vectorizer_id_seq; Type: SEQUENCE SET; Schema: ai; Owner: postgres
--

SELECT pg_catalog.setval('ai.vectorizer_id_seq', 3, true);


--
-- Name: _vectorizer_q_2_item_seq; Type: SEQUENCE SET; Schema: app; Owner: postgres
--

SELECT pg_catalog.setval('app._vectorizer_q_2_item_seq', 3, true);


--
-- Name: _vectorizer_q_1 _vectorizer_q_1_item_key; Type: CONSTRAINT; Schema: ai; Owner: postgres
--

ALTER TABLE ONLY ai._vectorizer_q_1
    ADD CONSTRAINT _vectorizer_q_1_item_key UNIQUE (item);


--
-- Name: _vectorizer_q_1 _vectorizer_q_1_pkey; Type: CONSTRAINT; Schema: ai; Owner: postgres
--

ALTER TABLE ONLY ai._vectorizer_q_1
    ADD CONSTRAINT _vectorizer_q_1_pkey PRIMARY KEY (tenant, id);


--
-- Name: _vectorizer_q_3 _vectorizer_q_3_item_key; Type: CONSTRAINT; Schema: ai; Owner: postgres
--

ALTER TABLE ONLY ai._vectorizer_q_3
    ADD CONSTRAINT _vectorizer_q_3_item_key UNIQUE (item);


--
-- Name: _vectorizer_q_3 _vectorizer_q_3_pkey; Type: CONSTRAINT; Schema: ai; Owner: postgres
--

ALTER TABLE ONLY ai._vectorizer_q_3
    ADD CONSTRAINT _vectorizer_q_3_pkey PRIMARY KEY (day, id);


--
-- Name: _vectorizer_q_failed_1 _vectorizer_q_failed_1_pkey; Type: CONSTRAINT; Schema: ai; Owner: postgres
--

ALTER TABLE ONLY ai._vectorizer_q_failed_1
    ADD CONSTRAINT _vectorizer_q_failed_1_pkey PRIMARY KEY (tenant, id);


--
-- Name: _vectorizer_q_failed_3 _vectorizer_q_failed_3_pkey; Type: CONSTRAINT; Schema: ai; Owner: postgres
--

ALTER TABLE ONLY ai._vectorizer_q_failed_3
    ADD CONSTRAINT _vectorizer_q_failed_3_pkey PRIMARY KEY (day, id);


--
-- Name: Note Note_pkey; Type: CONSTRAINT; Schema: app; Owner: postgres
--

ALTER TABLE ONLY app."Note"
    ADD CONSTRAINT "Note_pkey" PRIMARY KEY ("Key");


--
-- Name: _vectorizer_q_2 _vectorizer_q_2_item_key; Type: CONSTRAINT; Schema: app; Owner: postgres
--

ALTER TABLE ONLY app._vectorizer_q_2
    ADD CONSTRAINT _vectorizer_q_2_item_key UNIQUE (item);


--
-- Name: _vectorizer_q_2 _vectorizer_q_2_pkey; Type: CONSTRAINT; Schema: app; Owner: postgres
--

ALTER TABLE ONLY app._vectorizer_q_2
    ADD CONSTRAINT _vectorizer_q_2_pkey PRIMARY KEY ("Key");


--
-- Name: _vectorizer_q_failed_2 _vectorizer_q_failed_2_pkey; Type: CONSTRAINT; Schema: app; Owner: postgres
--

ALTER TABLE ONLY app._vectorizer_q_failed_2
    ADD CONSTRAINT _vectorizer_q_failed_2_pkey PRIMARY KEY ("Key");


--
-- Name: doc_embedding_store doc_embedding_store_pkey; Type: CONSTRAINT; Schema: app; Owner: postgres
--

ALTER TABLE ONLY app.doc_embedding_store
    ADD CONSTRAINT doc_embedding_store_pkey PRIMARY KEY (embedding_uuid);


--
-- Name: doc_embedding_store doc_embedding_store_tenant_id_chunk_seq_key; Type: CONSTRAINT; Schema: app; Owner: postgres
--

ALTER TABLE ONLY app.doc_embedding_store
    ADD CONSTRAINT doc_embedding_store_tenant_id_chunk_seq_key UNIQUE (tenant, id, chunk_seq);


--
-- Name: doc doc_pkey; Type: CONSTRAINT; Schema: app; Owner: postgres
--

ALTER TABLE ONLY app.doc
    ADD CONSTRAINT doc_pkey PRIMARY KEY (tenant, id);


--
-- Name: news news_pkey; Type: CONSTRAINT; Schema: app; Owner: postgres
--

ALTER TABLE ONLY app.news
    ADD CONSTRAINT news_pkey PRIMARY KEY (day, id);


--
-- Name: news_25 news_25_pkey; Type: CONSTRAINT; Schema: app; Owner: postgres
--

ALTER TABLE ONLY app.news_25
    ADD CONSTRAINT news_25_pkey PRIMARY KEY (day, id);


--
-- Name: news_26 news_26_pkey; Type: CONSTRAINT; Schema: app; Owner: postgres
--

ALTER TABLE ONLY app.news_26
    ADD CONSTRAINT news_26_pkey PRIMARY KEY (day, id);


--
-- Name: news_embedding_store news_embedding_store_day_id_chunk_seq_key; Type: CONSTRAINT; Schema: app; Owner: postgres
--

ALTER TABLE ONLY app.news_embedding_store
    ADD CONSTRAINT news_embedding_store_day_id_chunk_seq_key UNIQUE (day, id, chunk_seq);


--
-- Name: news_embedding_store news_embedding_store_pkey; Type: CONSTRAINT; Schema: app; Owner: postgres
--

ALTER TABLE ONLY app.news_embedding_store
    ADD CONSTRAINT news_embedding_store_pkey PRIMARY KEY (embedding_uuid);


--
-- Name: _vectorizer_q_1_backfill_item_idx; Type: INDEX; Schema: ai; Owner: postgres
--

CREATE INDEX _vectorizer_q_1_backfill_item_idx ON ai._vectorizer_q_1 USING btree (backfill, item) WHERE (lease IS NULL);


--
-- Name: _vectorizer_q_3_backfill_item_idx; Type: INDEX; Schema: ai; Owner: postgres
--

CREATE INDEX _vectorizer_q_3_backfill_item_idx ON ai._vectorizer_q_3 USING btree (backfill, item) WHERE (lease IS NULL);


--
-- Name: _vectorizer_q_2_backfill_item_idx; Type: INDEX; Schema: app; Owner: postgres
--

CREATE INDEX _vectorizer_q_2_backfill_item_idx ON app._vectorizer_q_2 USING btree (backfill, item) WHERE (lease IS NULL);


--
-- Name: news_25_pkey; Type: INDEX ATTACH; Schema: app; Owner: postgres
--

ALTER INDEX app.news_pkey ATTACH PARTITION app.news_25_pkey;


--
-- Name: news_26_pkey; Type: INDEX ATTACH; Schema: app; Owner: postgres
--

ALTER INDEX app.news_pkey ATTACH PARTITION app.news_26_pkey;


--
-- Name: doc _vectorizer_src_trg_1; Type: TRIGGER; Schema: app; Owner: postgres
--

CREATE TRIGGER _vectorizer_src_trg_1 AFTER UPDATE ON app.doc REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION ai._vectorizer_src_trg_1();
ALTER TRIGGER _vectorizer_src_trg_1 ON app.doc DEPENDS ON EXTENSION ai;


--
-- Name: doc _vectorizer_src_trg_1_delete; Type: TRIGGER; Schema: app; Owner: postgres
--

CREATE TRIGGER _vectorizer_src_trg_1_delete AFTER DELETE ON app.doc REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION ai._vectorizer_src_trg_1();
ALTER TRIGGER _vectorizer_src_trg_1_delete ON app.doc DEPENDS ON EXTENSION ai;


--
-- Name: doc _vectorizer_src_trg_1_insert; Type: TRIGGER; Schema: app; Owner: postgres
--

CREATE TRIGGER _vectorizer_src_trg_1_insert AFTER INSERT ON app.doc REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION ai._vectorizer_src_trg_1();
ALTER TRIGGER _vectorizer_src_trg_1_insert ON app.doc DEPENDS ON EXTENSION ai;


--
-- Name: doc _vectorizer_src_trg_1_truncate; Type: TRIGGER; Schema: app; Owner: postgres
--

CREATE TRIGGER _vectorizer_src_trg_1_truncate AFTER TRUNCATE ON app.doc FOR EACH STATEMENT EXECUTE FUNCTION ai._vectorizer_src_trg_1();
ALTER TRIGGER _vectorizer_src_trg_1_truncate ON app.doc DEPENDS ON EXTENSION ai;


--
-- Name: Note _vectorizer_src_trg_2; Type: TRIGGER; Schema: app; Owner: postgres
--

CREATE TRIGGER _vectorizer_src_trg_2 AFTER UPDATE ON app."Note" REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION app._vectorizer_src_trg_2();
ALTER TRIGGER _vectorizer_src_trg_2 ON app."Note" DEPENDS ON EXTENSION ai;


--
-- Name: Note _vectorizer_src_trg_2_delete; Type: TRIGGER; Schema: app; Owner: postgres
--

CREATE TRIGGER _vectorizer_src_trg_2_delete AFTER DELETE ON app."Note" REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION app._vectorizer_src_trg_2();
ALTER TRIGGER _vectorizer_src_trg_2_delete ON app."Note" DEPENDS ON EXTENSION ai;


--
-- Name: Note _vectorizer_src_trg_2_insert; Type: TRIGGER; Schema: app; Owner: postgres
--

CREATE TRIGGER _vectorizer_src_trg_2_insert AFTER INSERT ON app."Note" REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION app._vectorizer_src_trg_2();
ALTER TRIGGER _vectorizer_src_trg_2_insert ON app."Note" DEPENDS ON EXTENSION ai;


--
-- Name: Note _vectorizer_src_trg_2_truncate; Type: TRIGGER; Schema: app; Owner: postgres
--

CREATE TRIGGER _vectorizer_src_trg_2_truncate AFTER TRUNCATE ON app."Note" FOR EACH STATEMENT EXECUTE FUNCTION app._vectorizer_src_trg_2();
ALTER TRIGGER _vectorizer_src_trg_2_truncate ON app."Note" DEPENDS ON EXTENSION ai;


--
-- Name: news _vectorizer_src_trg_3; Type: TRIGGER; Schema: app; Owner: postgres
--

CREATE TRIGGER _vectorizer_src_trg_3 AFTER INSERT OR DELETE OR UPDATE ON app.news FOR EACH ROW EXECUTE FUNCTION ai._vectorizer_src_trg_3();
ALTER TRIGGER _vectorizer_src_trg_3 ON app.news DEPENDS ON EXTENSION ai;


--
-- Name: news _vectorizer_src_trg_3_truncate; Type: TRIGGER; Schema: app; Owner: postgres
--

CREATE TRIGGER _vectorizer_src_trg_3_truncate AFTER TRUNCATE ON app.news FOR EACH STATEMENT EXECUTE FUNCTION ai._vectorizer_src_trg_3();
ALTER TRIGGER _vectorizer_src_trg_3_truncate ON app.news DEPENDS ON EXTENSION ai;


--
-- Name: FUNCTION _vectorizer_src_trg_1(); Type: ACL; Schema: ai; Owner: postgres
--

REVOKE ALL ON FUNCTION ai._vectorizer_src_trg_1() FROM PUBLIC;


--
-- Name: FUNCTION _vectorizer_src_trg_3(); Type: ACL; Schema: ai; Owner: postgres
--

REVOKE ALL ON FUNCTION ai._vectorizer_src_trg_3() FROM PUBLIC;


--
-- Name: FUNCTION _vectorizer_src_trg_2(); Type: ACL; Schema: app; Owner: postgres
--

REVOKE ALL ON FUNCTION app._vectorizer_src_trg_2() FROM PUBLIC;


--
-- PostgreSQL database dump complete
--

\unrestrict rei3JbeaKp1DECaT2IWQmvmFVzI2nqkUVOsWVNjwxT7EJLJ8pxl0YC4Mhsgd6qC

