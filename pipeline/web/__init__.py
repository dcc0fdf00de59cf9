"""The Flask application: the API and the pages."""
