/** What the commands show of layer 7, and that units without it look as before. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PortError } from '../../../appliance/api/port.js';
import { MEMBER, MEMBERS, POOLS, SERVICES } from '../api/fake-daemon.js';
import { withApi } from '../api/fixture.js';
import { PROXIED, PROXY, RESTART, ROUTES, SERVICE, WORKERS } from '../api/proxy-rows.js';
import { weir } from './weir.js';

const test = suite('cli: layer 7');

for (const [words, expected] of [
  [['show', 'service', 'site'], SERVICE],
  [['show', 'routes'], ROUTES],
  [['show', 'workers'], WORKERS],
  [['restart', 'workers'], RESTART],
] as const) {
  test(`${words.join(' ')} --json is what the API answers`, () =>
    withApi(async ({ socket }) => {
      const ran = await weir([...words, '--json'], { socket });
      assert.equal([ran.code, ran.err], [0, '']);
      assert.equal(JSON.parse(ran.out), JSON.parse(JSON.stringify(expected)));
    }));
}

test('show workers: a line for each', () =>
  withApi(async ({ socket }) => {
    const { out } = await weir(['show', 'workers'], { socket });
    assert.match(out, /^WORKER +PID +CPU +STATE +CLIENTS +REQ\/S +SINCE +RESTARTS\n/);
    assert.match(out, /\n +0 +4711 +1 +serving +23 +617\/s +\w+ +2\n/);
    assert.match(out, /\n +3 +4699 +any +draining +7 +0 +\w+ +0\n/);
  }));

test('restart workers says how many, how long, and who is there now', () =>
  withApi(async ({ daemon, socket }) => {
    const done = await weir(['restart', 'workers'], { socket });
    assert.equal([done.code, done.err], [0, '']);
    assert.match(
      done.out,
      /^Replaced 2 workers within 0\.6 s; 1 of the old ones still end what they began:\nWORKER /,
    );
    assert.type((daemon.last('restartWorkers') as { author: string }).author, 'string');
    const none = new PortError('conflict', 'There are no workers: no service needs the proxy.');
    daemon.failures.set('restartWorkers', none);
    const refused = await weir(['restart', 'workers'], { socket });
    assert.equal([refused.code, refused.out], [5, '']);
    assert.match(refused.err, /^weir: There are no workers: no service needs the proxy\.\n$/);
  }));

test('show routes: conditions, target, rate, share and durations', () =>
  withApi(async ({ daemon, socket }) => {
    const { out } = await weir(['show', 'routes', 'site'], { socket });
    assert.equal(daemon.last('routes'), { service: 'site' });
    assert.match(out, /^SERVICE +ROUTE +WHEN +TO +REQ\/S +SHARE +5XX\/S +P50 +P99\n/);
    assert.match(
      out,
      /site +canary +host shop\.example, path \/new\/\*\* +pool web 95, next 5 +1\.23k\/s +5\.3% +2\/s +0\.7ms +8\.4ms\n/,
    );
    assert.match(out, /site +2 +always +redirect 301 https:\/\/shop\.example\/ .* - +2\/s +- +-\n/);
  }));

test('show service: what was answered and refused, and its routes', () =>
  withApi(async ({ socket }) => {
    const { out } = await weir(['show', 'service', 'site'], { socket });
    for (const pattern of [
      /^service site {2}UP ●\n {2}Listen +10\.0\.0\.81:8081\/http\n {2}Tier +proxy\n/,
      /Requests +1\.23k\/s requests, 2\/s of them 5xx, 21\/s connections, 98\.7Mbit\/s\n/,
      /Active +45 connections open\n/,
      /Duration +p50 0\.7ms, p90 2\.2ms, p99 8\.4ms, at most 41ms\n/,
      /So far +71\.0k requests, 2xx 70\.0k, 3xx 310, 4xx 620, 5xx 70\n/,
      /Refused +over a limit of requests 11, waited too long 4, bad request 6\n/,
      /Members +connections made 130, reused 70\.5k, failed 3\n/,
      /Trouble +retries 9, ended by clients 17, failed at members 8, ejections 1\n/,
      /Handshakes +full 1\.40k, resumed 3\.60k, with early data 31, TLS 1\.2 240, TLS 1\.3 4\.76k\n/,
      /No handshake +broken off or too slow 23, refused by the other side 13, bad certificate 7\n/,
      /Besides +upgrades 5\n\nROUTE /,
    ]) {
      assert.match(out, pattern);
    }
    const none = await weir(['show', 'service', 'nil'], { socket });
    assert.equal([none.code, none.out], [6, '']);
  }));

test('a table that has both tiers says - for what a tier does not count', () =>
  withApi(async ({ daemon, socket }) => {
    daemon.rows = { ...daemon.rows, services: [...SERVICES, PROXIED] };
    const { out } = await weir(['show', 'services'], { socket });
    assert.match(out, / FLOWS\/S +PACKETS\/S +BITS\/S +REQ\/S +5XX\/S +P99/);
    assert.match(out, /shop .* 12\/s +3\.40k\/s +45\.6Mbit\/s +- +- +-/);
    assert.match(out, /site .* proxy .* 21\/s +- +98\.7Mbit\/s +1\.23k\/s +2\/s +8\.4ms/);
    const wide = (await weir(['show', 'services', '--wide'], { socket })).out;
    assert.match(wide, /REQUESTS +4XX +5XX +P50 +ACTIVE +REFUSED +RETRIES/);
    assert.match(wide, /site .* 5\.10k +- +82\.0MB +71\.0k +620 +70 +0\.7ms +45 +21 +9 /);
  }));

test('columns of requests are not there when the proxy serves nobody', () =>
  withApi(async ({ socket }) => {
    for (const what of ['services', 'pools', 'members']) {
      const { out } = await weir(['show', what, '--wide'], { socket });
      assert.not.match(out, /REQ/, what);
    }
  }));

test('pools and members show their requests', () =>
  withApi(async ({ daemon, socket }) => {
    const proxy = { ...PROXY, active: null, underWay: 33 };
    daemon.rows = {
      services: SERVICES,
      pools: POOLS.map((pool) => ({ ...pool, proxy: { ...proxy, queued: 2 } })),
      members: MEMBERS.map((member) => ({ ...member, proxy })),
    };
    const pools = (await weir(['show', 'pools'], { socket })).out;
    assert.match(pools, /web .* 33\/s +3\.40k\/s +144Mbit\/s +1\.23k\/s +2\/s +8\.4ms\n/);
    const members = (await weir(['show', 'members', '--wide'], { socket })).out;
    assert.match(members, /10\.0\.1\.11:8080 .* 1\.23k\/s +2\/s +8\.4ms +http .* 33 +21 +9\n/);
  }));

test('show member: what its requests came to, beside its health', () =>
  withApi(async ({ daemon, socket }) => {
    daemon.detail = { ...MEMBER, proxy: { ...PROXY, active: null, underWay: 33 } };
    const { out } = await weir(['show', 'member', 'web', '10.0.1.12:8080'], { socket });
    assert.match(out, /Requests +1\.23k\/s requests, .*\n {2}Active +33 requests under way\n/);
    assert.match(out, /Traffic +12\/s flows/);
  }));

test('show events --kind worker asks for those of workers', () =>
  withApi(async ({ daemon, socket }) => {
    const ran = await weir(['show', 'events', '--kind', 'worker'], { socket });
    assert.equal([ran.code, ran.out], [0, 'No events.\n']);
    assert.equal((daemon.last('events') as { kinds: string[] }).kinds, ['worker']);
  }));

test.run();
