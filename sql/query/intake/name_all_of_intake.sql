-- A publication FOR ALL TABLES has the intake, too, and refuses to delete what it could not name.
ALTER TABLE {intake} REPLICA IDENTITY FULL
