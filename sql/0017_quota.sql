-- Quotas: how many new names and label sets one source may bring in an hour. Counted by the active node in its memory;
-- records beyond go to ingest.rejected with their reason.

SET LOCAL ROLE standwatch_owner;

INSERT INTO ha.setting (key, default_value, kind, least, most, pattern, description) VALUES
  ('names_per_source_hour', '10000', 'integer', 1, 10000000, NULL,
    'New names (hosts, applications, metrics, ...) that one source may bring in an hour'),
  ('label_sets_per_source_hour', '100000', 'integer', 1, 10000000, NULL,
    'New metrics, told apart by name and labels, that one source may bring in an hour');

RESET ROLE;
