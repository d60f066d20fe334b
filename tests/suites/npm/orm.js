// orm.js URL: what applications of node do with a database, each a test; a line of JSON for each of them.
// Migrations go up and down twice, two at a time where the library has a lock against that.
import assert from 'node:assert'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import knexOf from 'knex'
import pg from 'pg'
import PgBoss from 'pg-boss'
import listenOf from 'pg-listen'
import postgres from 'postgres'
import { runner } from 'node-pg-migrate'
import { DataSource, EntitySchema } from 'typeorm'
import { DataTypes, Sequelize, Transaction } from 'sequelize'
import { SequelizeStorage, Umzug } from 'umzug'
import { makeWorkerUtils, run as runWorker } from 'graphile-worker'

const url = process.argv[2]
const quiet = { warn() {}, info() {}, error() {}, debug() {}, scope() { return quiet } }
const late = (ms, what) => new Promise((_, no) => setTimeout(() => no(new Error(`${what} did not come`)), ms).unref())

async function fresh (name) {
  const client = new pg.Client(url)
  await client.connect()
  await client.query(`DROP SCHEMA IF EXISTS ${name} CASCADE`)
  await client.query(`CREATE SCHEMA ${name}`)
  await client.end()
}

const tests = {
  async 'knex: migrations up and down twice, two at a time' () {
    await fresh('knex')
    const migrationSource = {
      getMigrations: async () => ['1', '2', '3'],
      getMigrationName: m => m,
      getMigration: async m => ({
        up: k => m === '3' ? k('t1').insert([{ name: 'a' }, { name: 'b' }]) : k.schema.createTable(`t${m}`, t => {
          t.increments(); t.string('name').notNullable().index(); t.jsonb('data'); t.timestamps(true, true)
          if (m === '2') t.integer('one').references('id').inTable('t1').onDelete('CASCADE')
        }),
        down: k => m === '3' ? k('t1').delete() : k.schema.dropTable(`t${m}`)
      })
    }
    const open = () => knexOf({ client: 'pg', connection: url, searchPath: ['knex'], pool: { min: 0, max: 5 }, migrations: { migrationSource }, log: quiet })
    const one = open(); const other = open()
    try {
      for (let i = 0; i < 2; i++) {
        const both = await Promise.allSettled([one.migrate.latest(), other.migrate.latest()])
        assert(both.some(r => r.status === 'fulfilled'), String(both[0].reason))
        await one.migrate.latest()
        assert.equal((await one('t1').count())[0].count, '2')
        assert.equal((await other.migrate.list())[0].length, 3)
        await other.migrate.rollback(undefined, true)
        assert(!await one.schema.hasTable('t1'))
      }
    } finally { await one.destroy(); await other.destroy() }
  },
  async 'knex: transactions, savepoints, streams' () {
    await fresh('knex2')
    const knex = knexOf({ client: 'pg', connection: url, searchPath: 'knex2', pool: { min: 0, max: 5 }, log: quiet })
    try {
      await knex.schema.createTable('t', t => { t.increments(); t.integer('n') })
      await Promise.all([...Array(20).keys()].map(n => knex.transaction(async trx => {
        await trx('t').insert({ n })
        await trx.transaction(async inner => { await inner('t').insert({ n: -1 }); throw new Error('back') }).catch(() => {})
      }, { isolationLevel: 'repeatable read' })))
      assert.equal((await knex('t').sum('n'))[0].sum, '190')
      await knex.batchInsert('t', [...Array(500).keys()].map(n => ({ n })), 50)
      let rows = 0
      for await (const _ of knex('t').select().stream()) rows += _ ? 1 : 0
      assert.equal(rows, 520)
      const columns = await knex('t').columnInfo()
      assert.deepEqual(Object.keys(columns).sort(), ['id', 'n'])
    } finally { await knex.destroy() }
  },
  async 'sequelize: models, transactions, umzug up and down twice' () {
    await fresh('seq')
    const sequelize = new Sequelize(url, { logging: false, schema: 'seq', pool: { max: 5 }, dialectOptions: { application_name: 'seq', statement_timeout: 20000 } })
    try {
      const umzug = new Umzug({
        migrations: ['a', 'b'].map(name => ({
          name,
          up: ({ context }) => context.createTable({ tableName: `m_${name}`, schema: 'seq' }, { id: { type: DataTypes.INTEGER, primaryKey: true, autoIncrement: true }, mood: DataTypes.ENUM('x', 'y') }),
          down: async ({ context }) => { await context.dropTable({ tableName: `m_${name}`, schema: 'seq' }); await context.sequelize.query(`DROP TYPE IF EXISTS seq."enum_m_${name}_mood"`) }
        })),
        context: sequelize.getQueryInterface(), storage: new SequelizeStorage({ sequelize, schema: 'seq' }), logger: undefined
      })
      for (let i = 0; i < 2; i++) {
        assert.equal((await umzug.up()).length, 2)
        assert.equal((await umzug.down({ to: 0 })).length, 2)
      }
      const Owner = sequelize.define('owner', { name: DataTypes.STRING }); const Pet = sequelize.define('pet', { kind: DataTypes.ENUM('cat', 'dog'), born: DataTypes.DATE, tags: DataTypes.ARRAY(DataTypes.TEXT) })
      Owner.hasMany(Pet)
      await sequelize.sync({ force: true }); await sequelize.sync({ alter: true })
      await Promise.all([...Array(15).keys()].map(i => sequelize.transaction({ isolationLevel: Transaction.ISOLATION_LEVELS.READ_COMMITTED }, async t => {
        const owner = await Owner.create({ name: `o${i}` }, { transaction: t })
        await owner.createPet({ kind: 'cat', born: new Date(0), tags: ['a', "b'"] }, { transaction: t })
      })))
      const all = await Owner.findAll({ include: Pet, order: ['name'] })
      assert.equal(all.length, 15); assert.equal(all[3].pets[0].tags[1], "b'")
      const [found, made] = await Owner.findOrCreate({ where: { name: 'new' } })
      assert(found && made)
      await Owner.upsert({ id: found.id, name: 'newer' })
      await sequelize.transaction(async t => { await Owner.findByPk(found.id, { transaction: t, lock: t.LOCK.UPDATE }); throw new Error('back') }).catch(e => assert.equal(e.message, 'back'))
    } finally { await sequelize.close() }
  },
  async 'typeorm: synchronize, migrations up and down twice' () {
    await fresh('torm')
    class First1700000000001 { async up (q) { await q.query('CREATE TABLE torm.mig (id serial PRIMARY KEY)'); await q.query('CREATE INDEX ON torm.mig (id)') } async down (q) { await q.query('DROP TABLE torm.mig') } }
    class Second1700000000002 { async up (q) { await q.query('INSERT INTO torm.mig DEFAULT VALUES') } async down (q) { await q.query('DELETE FROM torm.mig') } }
    const Post = new EntitySchema({ name: 'Post', schema: 'torm', columns: { id: { type: 'uuid', primary: true, generated: 'uuid' }, title: { type: 'text' }, at: { type: 'timestamptz', createDate: true }, kind: { type: 'enum', enum: ['a', 'b'], default: 'a' } } })
    for (const each of ['all', 'each', 'none']) {
      const source = new DataSource({ type: 'postgres', url, schema: 'torm', synchronize: true, entities: [Post], migrations: [First1700000000001, Second1700000000002], migrationsTransactionMode: each, extra: { max: 4 } })
      await source.initialize()
      try {
        for (let i = 0; i < 2; i++) {
          assert.equal((await source.runMigrations()).length, 2)
          await source.undoLastMigration(); await source.undoLastMigration()
        }
        const posts = source.getRepository('Post')
        await Promise.all([...Array(10).keys()].map(i => source.transaction('SERIALIZABLE', async m => { await m.save('Post', { title: `t${i}`, kind: 'b' }) }).catch(e => assert.equal(e.code, '40001'))))
        assert(await posts.countBy({ kind: 'b' }) > 0)
      } finally { await source.destroy() }
    }
  },
  async 'node-pg-migrate: up and down twice, under its advisory lock' () {
    await fresh('npm_migrate')
    const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'migrations-'))
    fs.writeFileSync(path.join(dir, '1_first.cjs'), "exports.up = p => { p.createTable('one', { id: 'id', name: { type: 'text', notNull: true } }); p.sql('SELECT pg_sleep(0.3)') }\nexports.down = p => p.dropTable('one')\n")
    fs.writeFileSync(path.join(dir, '2_second.cjs'), "exports.up = p => p.addColumns('one', { age: 'int' })\nexports.down = p => p.dropColumns('one', ['age'])\n")
    const go = (direction, count) => runner({ databaseUrl: url, dir, direction, count, schema: 'npm_migrate', migrationsSchema: 'npm_migrate', migrationsTable: 'done', log: () => {}, logger: quiet })
    for (let i = 0; i < 2; i++) {
      const both = await Promise.allSettled([go('up'), go('up')])
      const refused = both.filter(r => r.status === 'rejected')
      assert(refused.length <= 1 && refused.every(r => /Another migration is already running/.test(r.reason.message)), String(refused[0]?.reason))
      await go('up')
      assert.equal((await go('down', 2)).length, 2)
    }
    fs.rmSync(dir, { recursive: true })
  },
  async 'pg: an advisory lock around migrations, as Rails does it' () {
    const one = new pg.Client(url); const other = new pg.Client(url)
    await one.connect(); await other.connect()
    const lock = async c => (await c.query('SELECT pg_try_advisory_lock($1)', ['4242424242'])).rows[0].pg_try_advisory_lock
    const unlock = async c => (await c.query('SELECT pg_advisory_unlock($1)', ['4242424242'])).rows[0].pg_advisory_unlock
    for (let i = 0; i < 3; i++) {
      assert.equal(await lock(one), true)
      await one.query('BEGIN'); await one.query('SELECT 1'); await one.query('COMMIT')
      assert.equal(await lock(other), false)
      assert.equal(await unlock(one), true)
      assert.equal(await lock(other), true)
      assert.equal(await unlock(other), true)
    }
    await one.end(); await other.end()
  },
  async 'pg: session settings, named statements, cursors, copy of errors' () {
    const pool = new pg.Pool({ connectionString: url, max: 4 })
    const clients = await Promise.all([...Array(4)].map(() => pool.connect()))
    await Promise.all(clients.map(async (c, i) => {
      await c.query(`SET search_path TO s${i}, public`); await c.query(`SET TIME ZONE 'Etc/GMT+${i}'`); await c.query(`SET app.tenant = 'u${i}'`)
      for (let n = 0; n < 10; n++) {
        const r = await c.query({ name: 'ask', text: "SELECT current_setting('search_path') p, current_setting('timezone') z, current_setting('app.tenant') u, $1::int n", values: [n] })
        assert.deepEqual(r.rows[0], { p: `s${i}, public`, z: `Etc/GMT+${i}`, u: `u${i}`, n })
      }
      await c.query('CREATE TEMP TABLE mine (x int)'); await c.query('INSERT INTO mine SELECT generate_series(1, $1)', [i + 1])
      assert.equal((await c.query('SELECT count(*)::int n FROM mine')).rows[0].n, i + 1)
      await c.query('DROP TABLE mine')
      const error = await c.query('SELECT nothing FROM nowhere').catch(e => e)
      assert.deepEqual([error.code, error.severity, error.position, error.routine], ['42P01', 'ERROR', '21', 'parserOpenTable'])
      await c.query('DISCARD ALL')
      assert.equal((await c.query('SHOW search_path')).rows[0].search_path, '"$user", public')
    }))
    clients.forEach(c => c.release())
    await pool.end()
  },
  async 'postgres.js: listen, reserve, transactions, prepared' () {
    const sql = postgres(url, { max: 4, onnotice: () => {} })
    try {
      const heard = []
      await sql.listen('news', x => heard.push(x))
      for (let i = 0; i < 5; i++) await sql.notify('news', `n${i}`)
      for (let i = 0; heard.length < 5 && i < 100; i++) await new Promise(resolve => setTimeout(resolve, 50))
      assert.deepEqual(heard, ['n0', 'n1', 'n2', 'n3', 'n4'])
      const mine = await sql.reserve()
      await mine`SET work_mem = '7MB'`
      for (let i = 0; i < 5; i++) assert.equal((await mine`SHOW work_mem`)[0].work_mem, '7MB')
      await mine`RESET work_mem`; mine.release()
      const results = await Promise.all([...Array(40).keys()].map(i => sql.begin(async t => (await t`SELECT ${i}::int AS n`)[0].n)))
      assert.deepEqual(results, [...Array(40).keys()])
      let rows = 0
      await sql`SELECT generate_series(1, 1000) n`.cursor(100, part => { rows += part.length })
      assert.equal(rows, 1000)
    } finally { await sql.end() }
  },
  async 'pg-listen: several channels' () {
    const one = listenOf({ connectionString: url }); const other = listenOf({ connectionString: url })
    await one.connect(); await other.connect()
    const heard = []
    await one.listenTo('first'); await one.listenTo('second')
    const done = new Promise(resolve => { for (const name of ['first', 'second']) one.notifications.on(name, x => { heard.push([name, x]); if (heard.length === 20) resolve() }) })
    for (let i = 0; i < 10; i++) { await other.notify('first', { i }); await other.notify('second', { i }) }
    await Promise.race([done, late(10000, 'notifications')])
    assert.deepEqual(heard, [...Array(10).keys()].flatMap(i => [['first', { i }], ['second', { i }]]))
    await one.unlisten('first')
    await one.close(); await other.close()
  },
  async 'pg-boss: jobs' () {
    await fresh('boss')
    const boss = new PgBoss({ connectionString: url, schema: 'boss', max: 4 })
    boss.on('error', () => {})
    await boss.start()
    await boss.createQueue('q')
    const got = []
    const done = new Promise(resolve => boss.work('q', { pollingIntervalSeconds: 0.5, batchSize: 5 }, async jobs => { got.push(...jobs.map(j => j.data.i)); if (got.length === 10) resolve() }))
    for (let i = 0; i < 10; i++) await boss.send('q', { i })
    await Promise.race([done, late(20000, 'jobs')])
    assert.deepEqual(got.sort(), [...Array(10).keys()])
    await boss.stop({ graceful: false })
  },
  async 'graphile-worker: jobs that wake it by NOTIFY' () {
    await fresh('worker')
    const utils = await makeWorkerUtils({ connectionString: url, schema: 'worker', logger: undefined })
    await utils.migrate()
    const got = []
    let resolve
    const done = new Promise(r => { resolve = r })
    const worker = await runWorker({ connectionString: url, schema: 'worker', concurrency: 3, pollInterval: 60000, noHandleSignals: true, taskList: { task: async p => { got.push(p.i); if (got.length === 10) resolve() } } })
    await new Promise(r => setTimeout(r, 500))
    for (let i = 0; i < 10; i++) await utils.addJob('task', { i })
    await Promise.race([done, late(20000, 'jobs')])
    assert.deepEqual(got.sort((a, b) => a - b), [...Array(10).keys()])
    await worker.stop(); await utils.release()
  }
}

console.log = console.info = console.warn = () => {}
for (const [name, run] of Object.entries(tests)) {
  let status = 'passed', output = ''
  try {
    await Promise.race([run(), late(60000, 'its end')])
  } catch (error) {
    status = 'failed'; output = String(error.stack ?? error)
  }
  process.stdout.write(JSON.stringify({ name, status, output }) + '\n')
}
process.exit(0)
