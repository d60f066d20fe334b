// session.js - one connection of node-postgres, told what to do line by line on stdin. See ../kit/sessions.py.
'use strict';
const readline = require('readline');
const { Client } = require('pg');

const [host, port, user, password, database] = process.argv.slice(2);
const client = new Client({ host, port: Number(port), user, password, database });
let lost = '';
client.on('error', (error) => { lost = error.message; });

async function act(line) {
  const [what, sql] = [line.split(' ', 1)[0], line.slice(line.indexOf(' ') + 1)];
  const found = await client.query(what === 'one' ? { text: sql, name: sql, values: [] } : what.toUpperCase());
  return found.rows && found.rows.length ? String(Object.values(found.rows[0])[0]) : '';
}

(async () => {
  await client.connect();
  console.log('ok');
  for await (const line of readline.createInterface({ input: process.stdin })) {
    try {
      const found = await act(line);
      console.log(`ok ${found}`.trim());
    } catch (error) {
      console.log(`no ${error.code || lost || error.message}`);
    }
  }
  await client.end();
})();
