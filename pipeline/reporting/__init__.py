"""What people read: sections, tables, charts, report, model card, status and health."""
