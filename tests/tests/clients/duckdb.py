import os, sys, duckdb, duckdb_extension_httpfs

address, bucket = sys.argv[1:]
folder = os.path.join(list(duckdb_extension_httpfs.__path__)[0], "extensions")
extension = os.path.join(folder, os.listdir(folder)[0], "httpfs.duckdb_extension")
db = duckdb.connect(config={"autoinstall_known_extensions": "false"})
db.execute(f"LOAD '{extension}'")
db.execute(
    f"""CREATE SECRET (TYPE s3, KEY_ID '{os.environ["AWS_ACCESS_KEY_ID"]}',
    SECRET '{os.environ["AWS_SECRET_ACCESS_KEY"]}', REGION 'auto', ENDPOINT '{address}',
    URL_STYLE 'path', USE_SSL false)"""
)
for part in range(3):
    db.execute(
        f"""COPY (SELECT i, i % 7 AS g, 'text ' || i AS t FROM range({part * 200000}, {(part + 1) * 200000}) r(i))
        TO 's3://{bucket}/tables/part {part}.parquet' (FORMAT parquet)"""
    )
db.execute(
    f"""COPY (SELECT i, i % 3 AS k FROM range(30) r(i))
    TO 's3://{bucket}/split' (FORMAT parquet, PARTITION_BY (k))"""
)
db.execute(f"COPY (SELECT 1 AS a, 'b,c' AS b) TO 's3://{bucket}/a+b c.csv' (HEADER)")
for query in [
    f"SELECT count(*), sum(i), min(t), max(t) FROM read_parquet('s3://{bucket}/tables/*.parquet')",
    f"SELECT g, count(*) FROM read_parquet('s3://{bucket}/tables/*.parquet') WHERE i BETWEEN 250000 AND 250999 GROUP BY g ORDER BY g",
    f"SELECT k, sum(i) FROM read_parquet('s3://{bucket}/split/**/*.parquet', hive_partitioning = true) GROUP BY k ORDER BY k",
    f"SELECT * FROM read_csv('s3://{bucket}/a+b c.csv')",
    f"SELECT file FROM glob('s3://{bucket}/tables/*') ORDER BY file",
]:
    print(db.execute(query).fetchall())
try:
    db.execute(f"SELECT * FROM read_parquet('s3://{bucket}/missing.parquet')")
except duckdb.Error as error:
    print(type(error).__name__)
