//! What agents say to each other through an MQTT broker.
