-- The nodes' login reads the reports as well: `hactl report` uses it where no login for reports is configured.

SET LOCAL ROLE standwatch_owner;

GRANT USAGE ON SCHEMA report TO standwatch_node;
GRANT SELECT ON ALL TABLES IN SCHEMA report TO standwatch_node;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA report TO standwatch_node;

RESET ROLE;
