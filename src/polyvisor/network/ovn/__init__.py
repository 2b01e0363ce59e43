"""The OVN backend: translates records to rows of OVN's northbound database, and makes the database equal to them."""
