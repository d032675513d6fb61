-- Closed, with nothing known.
INSERT INTO circuit_breakers (service, version, phase, phase_since_ms, phase_by, until_ms, pause_ms, probe, calls, failed, slow)
VALUES ('toss', 0, 'closed', 0, 'migrate', 0, 0, 0, 0, 0, 0)
