-- No table differs: from here on blocks may have their columns apart, which older releases do not read.
SELECT 1;
