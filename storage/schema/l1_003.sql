-- No table differs: from here on long blocks have lists, and long segments their nodes apart, which older releases do not read.
SELECT 1;
