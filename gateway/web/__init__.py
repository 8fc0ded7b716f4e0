"""Files for browsers, served by ws connectors as they are: no build step, nothing fetched from elsewhere."""
