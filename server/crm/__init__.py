"""The CRM seen from here."""
