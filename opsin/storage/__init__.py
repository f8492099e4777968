"""Where things are kept: tables, migrations, the event log and the blob stores."""
