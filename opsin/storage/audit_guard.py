"""Triggers by which the database itself keeps the audit: lines come, none is changed."""

from typing import Final

REFUSAL: Final = "the audit is append-only"

_SQLITE = (
    f"""CREATE TRIGGER audit_entries_no_update BEFORE UPDATE ON audit_entries
    BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END""",
    # Only what the horizon has left behind, which is moved on by retention.
    f"""CREATE TRIGGER audit_entries_no_delete BEFORE DELETE ON audit_entries
    WHEN NOT EXISTS (SELECT 1 FROM audit_horizon WHERE OLD.created_at < kept_from)
    BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END""",
    # INSERT OR REPLACE takes a row away without a word to the trigger above.
    f"""CREATE TRIGGER audit_entries_no_replace BEFORE INSERT ON audit_entries
    WHEN EXISTS (SELECT 1 FROM audit_entries WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END""",
    f"""CREATE TRIGGER audit_horizon_forward BEFORE UPDATE ON audit_horizon
    WHEN NEW.kept_from < OLD.kept_from
    BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END""",
)

_POSTGRESQL = (
    f"""CREATE FUNCTION guard_audit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF TG_OP = 'DELETE' THEN
        IF EXISTS (SELECT 1 FROM audit_horizon WHERE OLD.created_at < kept_from) THEN
          RETURN OLD;
        END IF;
      ELSIF TG_TABLE_NAME = 'audit_horizon' THEN
        IF NEW.kept_from >= OLD.kept_from THEN
          RETURN NEW;
        END IF;
      END IF;
      RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'restrict_violation';
    END $$""",
    """CREATE TRIGGER audit_entries_guard BEFORE UPDATE OR DELETE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION guard_audit()""",
    """CREATE TRIGGER audit_entries_no_truncate BEFORE TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION guard_audit()""",
    """CREATE TRIGGER audit_horizon_forward BEFORE UPDATE ON audit_horizon
    FOR EACH ROW EXECUTE FUNCTION guard_audit()""",
)


def guards(dialect: str) -> tuple[str, ...]:
    """The statements that set the guards of one database, for its migration."""
    return _POSTGRESQL if dialect == "postgresql" else _SQLITE
