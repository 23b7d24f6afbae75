-- Assertions for the other files, included after each \connect. A failed one ends psql (ON_ERROR_STOP).
\set QUIET on
SET client_min_messages = warning;

CREATE OR REPLACE FUNCTION pg_temp.expect(p_true boolean, p_what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF p_true IS NOT TRUE THEN
    RAISE EXCEPTION 'not so: %', p_what;
  END IF;
END
$$;

CREATE OR REPLACE FUNCTION pg_temp.expect_error(p_sql text, p_state text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_state text := 'none';
  v_message text := '';
BEGIN
  BEGIN
    EXECUTE p_sql;
  EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS v_state = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT;
  END;
  IF v_state <> p_state THEN
    RAISE EXCEPTION 'expected % and got % (%) from: %', p_state, v_state, v_message, p_sql;
  END IF;
END
$$;

-- Waits until a condition holds, at most a minute.
CREATE OR REPLACE FUNCTION pg_temp.expect_soon(p_sql text, p_what text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_true boolean := false;
BEGIN
  FOR i IN 1..1200 LOOP
    EXECUTE p_sql INTO v_true;
    EXIT WHEN v_true;
    PERFORM pg_catalog.pg_sleep(0.05);
    PERFORM pg_catalog.pg_stat_clear_snapshot();
  END LOOP;
  PERFORM pg_temp.expect(v_true, p_what);
END
$$;

-- Waits until the UTC day goes on for at least a minute, where statements of several transactions speak of today.
CREATE OR REPLACE FUNCTION pg_temp.expect_a_minute_of_today() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_left interval := date_trunc('day', clock_timestamp(), 'UTC') + interval '1 day' - clock_timestamp();
BEGIN
  IF v_left < interval '1 minute' THEN
    PERFORM pg_catalog.pg_sleep(extract(epoch FROM v_left) + 0.1);
  END IF;
END
$$;
