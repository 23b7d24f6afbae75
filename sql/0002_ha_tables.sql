-- The tables of the election. One database serves one cluster, to which it is pinned.
--
-- ha.leadership is written by promotions alone (ha.bump); what operators want lives in ha.control and
-- ha.no_promote; beats live in ha.node. ha.fence is always empty: only its lock is used, see ha.bump and ha.check.

SET LOCAL ROLE standwatch_owner;

CREATE TABLE ha.cluster (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  cluster text NOT NULL CHECK (cluster ~ '^[a-z0-9-]{1,16}$'),
  system_identifier bigint NOT NULL,
  database_oid oid NOT NULL,
  database_name text NOT NULL,
  pinned_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE ha.cluster IS 'The cluster this database belongs to, and the database it was pinned to (one row)';
COMMENT ON COLUMN ha.cluster.system_identifier IS 'Of pg_control_system(): a restored or foreign server differs';

CREATE TABLE ha.fence (nothing boolean CHECK (nothing IS NULL AND false));
COMMENT ON TABLE ha.fence IS 'Always empty. Writers hold ROW EXCLUSIVE, a promotion takes EXCLUSIVE: when the '
  'promotion has its lock, no transaction of an older epoch is open, and later ones see the new epoch';

CREATE TABLE ha.leadership (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  epoch bigint NOT NULL CHECK (epoch >= 0),
  token bigint NOT NULL CHECK (token >= 0),
  node text,
  incarnation bigint,
  since timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE ha.leadership IS 'The last promotion (one row); whether its node still leads, the lock says';
COMMENT ON COLUMN ha.leadership.epoch IS 'Fencing token: grows by one at every promotion; 0 before the first';
COMMENT ON COLUMN ha.leadership.token IS 'Random: makes the epoch unique when a lagging standby counts it twice';

CREATE TABLE ha.node (
  node text PRIMARY KEY CHECK (node ~ '^[a-z0-9-]{1,16}$'),
  incarnation bigint NOT NULL,
  counter bigint NOT NULL,
  state text NOT NULL,
  beat_at timestamptz NOT NULL,
  info jsonb NOT NULL DEFAULT '{}'
) WITH (fillfactor = 20, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);
COMMENT ON TABLE ha.node IS 'The latest beat of each node';
COMMENT ON COLUMN ha.node.incarnation IS 'One run of the daemon; a later run has a greater number';
COMMENT ON COLUMN ha.node.counter IS 'Grows with every beat; observers watch it by their own clock';
COMMENT ON COLUMN ha.node.state IS 'What the node says of itself: standby, active, degraded, stepped-down, ...';
COMMENT ON COLUMN ha.node.beat_at IS 'Server''s wall clock, for people: no decision rests on it';
COMMENT ON COLUMN ha.node.info IS 'For status: version, host, addresses, rates';

CREATE TABLE ha.control (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  paused boolean NOT NULL DEFAULT false,
  paused_by text,
  paused_why text,
  paused_at timestamptz,
  successor text,
  successor_by text,
  successor_expires_at timestamptz,
  clean_epoch bigint,
  clean_token bigint,
  clean_node text,
  clean_at timestamptz
);
COMMENT ON TABLE ha.control IS 'What operators asked for, and the mark of a clean release (one row)';
COMMENT ON COLUMN ha.control.paused IS 'No promotion anywhere';
COMMENT ON COLUMN ha.control.successor IS 'Only this node may promote itself, until successor_expires_at';
COMMENT ON COLUMN ha.control.clean_epoch IS 'Epoch whose active verified that its service IP is gone before unlocking';
INSERT INTO ha.control DEFAULT VALUES;

CREATE TABLE ha.no_promote (
  node text PRIMARY KEY CHECK (node ~ '^[a-z0-9-]{1,16}$'),
  set_by text NOT NULL,
  why text NOT NULL DEFAULT '',
  set_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE ha.no_promote IS 'Nodes that an operator excluded from promotion';

CREATE TABLE ha.setting (
  key text PRIMARY KEY CHECK (key ~ '^[a-z][a-z0-9_]*$'),
  value text,
  default_value text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('integer', 'boolean', 'text')),
  least bigint,
  most bigint,
  pattern text,
  description text NOT NULL,
  changed_at timestamptz,
  changed_by text
);
COMMENT ON TABLE ha.setting IS 'What the cluster shares, changed with hactl config; value NULL means the default';
COMMENT ON COLUMN ha.setting.pattern IS 'Regular expression that a text value has to match in full';
INSERT INTO ha.setting (key, default_value, kind, least, most, pattern, description) VALUES
  ('accept_past_days', '7', 'integer', 1, 365, NULL, 'Days back for which records are accepted and partitions made'),
  ('accept_ahead_days', '3', 'integer', 1, 30, NULL, 'Days ahead for which partitions are made'),
  ('failback_to', '', 'text', NULL, NULL, '([a-z0-9-]{1,16})?', 'Node that leads whenever it is healthy; empty: none'),
  ('claim_keep_minutes', '60', 'integer', 1, 100000, NULL, 'Minutes for which claims behind the newest are kept');

CREATE TABLE ha.event (
  id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  kind text NOT NULL,
  node text,
  incarnation bigint,
  epoch bigint,
  reason text NOT NULL DEFAULT '',
  phases jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE ha.event IS 'Promotions, demotions, fences and operators'' acts; shown by hactl history';
COMMENT ON COLUMN ha.event.phases IS 'Milliseconds of each phase of a takeover or switchover, by its name';
CREATE INDEX event_at ON ha.event (at);

CREATE TABLE ha.drill (
  id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  kind text NOT NULL,
  started_at timestamptz NOT NULL,
  finished_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  operator text NOT NULL,
  node_before text,
  node_after text,
  epoch_before bigint,
  epoch_after bigint,
  detect_ms double precision,
  promote_ms double precision,
  address_ms double precision,
  gap_ms double precision,
  acked bigint,
  lost bigint,
  doubled bigint,
  verdict text NOT NULL CHECK (verdict IN ('passed', 'failed', 'aborted')),
  detail jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE ha.drill IS 'Rehearsed failures with their measured verdict';
COMMENT ON COLUMN ha.drill.gap_ms IS 'From the last record the old active acknowledged to the first of the new one';
COMMENT ON COLUMN ha.drill.lost IS 'Acknowledged records of the canary stream that are not stored';
COMMENT ON COLUMN ha.drill.doubled IS 'Records of the canary stream that are stored more than once';

GRANT SELECT, INSERT, UPDATE, DELETE ON ha.fence, ha.node, ha.no_promote TO standwatch_node;
GRANT SELECT, INSERT, UPDATE ON ha.cluster, ha.leadership TO standwatch_node;
GRANT SELECT, UPDATE ON ha.control, ha.setting TO standwatch_node;
GRANT SELECT, INSERT ON ha.event, ha.drill TO standwatch_node;
GRANT SELECT ON ha.cluster, ha.node, ha.control, ha.no_promote, ha.setting, ha.event, ha.drill
  TO standwatch_analyst, standwatch_auditor;
GRANT SELECT (epoch, node, incarnation, since) ON ha.leadership TO standwatch_analyst, standwatch_auditor;

RESET ROLE;
