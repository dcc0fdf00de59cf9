"""What is known of each client: `finaldata.csv`, its keys, and the sightings behind it."""
