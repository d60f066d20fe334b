// attempts.js - log-ins by node-postgres: a list of attempts (JSON) on stdin, what became of each on stdout. See ../kit/drivers.py.
'use strict';
const fs = require('fs');
const { Client } = require('pg');

function tlsOf(a) {
  if (a.sslmode === 'disable') return false;
  const tls = { rejectUnauthorized: a.sslmode.startsWith('verify') };
  if (a.sslrootcert) tls.ca = fs.readFileSync(a.sslrootcert);
  if (a.sslcert) {
    tls.cert = fs.readFileSync(a.sslcert);
    tls.key = fs.readFileSync(a.sslkey);
  }
  return tls;
}

async function attempt(a) {
  const client = new Client({
    host: a.host, port: a.port, user: a.user, database: a.dbname, ssl: tlsOf(a), connectionTimeoutMillis: 30000,
    password: a.password === null ? undefined : a.password,
  });
  const ended = new Promise((_, reject) => {
    for (const event of ['end', 'error']) client.once(event, (why) => reject(why || new Error('the connection was closed')));
  });
  try {
    await Promise.race([client.connect(), ended]);
    const found = await client.query('SELECT current_user AS who');
    return { ok: true, who: found.rows[0].who };
  } catch (error) {
    return {
      ok: false, sqlstate: /^[0-9A-Z]{5}$/.test(error.code || '') ? error.code : null, error: String(error.message),
    };
  } finally {
    client.on('error', () => {});
    client.end().catch(() => {});
  }
}

(async () => {
  const results = [];
  for (const a of JSON.parse(fs.readFileSync(0, 'utf8'))) results.push(await attempt(a));
  process.stdout.write(JSON.stringify(results));
})();
