/** The store's rules: revisions, conflicts, confirmations, history, backups, migrations. */
import Database from 'better-sqlite3';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { canonicalJson, sha256 } from '../../../appliance/config/canonical.js';
import { formatChanges } from '../../../appliance/config/changes.js';
import { migrations, type Migration } from '../../../appliance/config/migrations.js';
import type { Document } from '../../../appliance/config/schema.js';
import { ConfigStore, StoreError, type StoreErrorCode } from '../../../appliance/config/store.js';

interface Context {
  folder: string;
  path: string;
}

const stores = suite<Context>('store', { folder: '', path: '' });
stores.before.each((context) => {
  context.folder = mkdtempSync(join(tmpdir(), 'weir-store-'));
  context.path = join(context.folder, 'weir.db');
});
stores.after.each((context) => {
  rmSync(context.folder, { recursive: true, force: true });
});

function named(name: string): Document {
  return { version: 1, unit: { name } };
}

function by(name: string): { document: Document; author: string; comment: string } {
  return { document: named(name), author: 'alice', comment: `call it ${name}` };
}

function using(store: ConfigStore, action: (store: ConfigStore) => void): void {
  try {
    action(store);
  } finally {
    store.close();
  }
}

function throws(code: StoreErrorCode, message: RegExp, action: () => unknown): void {
  try {
    action();
  } catch (error) {
    assert.instance(error, StoreError);
    if (!(error instanceof StoreError)) return;
    assert.is(error.code, code, error.message);
    assert.match(error.message, message);
    return;
  }
  assert.unreachable(`a StoreError ${code} was expected, but nothing was thrown`);
}

stores('a new store is empty and private', ({ path, folder }) => {
  using(ConfigStore.open(path), (store) => {
    assert.is(store.head(), null);
    assert.is(store.pendingConfirm(), null);
    assert.equal(store.history(), []);
    assert.equal(store.integrityCheck(), { ok: true, problems: [], revisions: 0 });
    store.commit(by('a'));
    for (const file of readdirSync(folder)) {
      assert.is(statSync(join(folder, file)).mode & 0o777, 0o600, `mode of ${file}`);
    }
  });
  chmodSync(path, 0o644);
  ConfigStore.open(path).close();
  assert.is(statSync(path).mode & 0o777, 0o600, 'the mode is repaired');
});

stores(
  'revisions carry author, time, comment, changes and digest, and outlive the process',
  ({ path }) => {
    let time = 1_000;
    using(ConfigStore.open(path, { now: () => time }), (store) => {
      const first = store.commit(by('a'));
      assert.is(first.number, 1);
      time = 2_000;
      store.commit({ ...by('b'), author: 'bob', parent: 1 });
    });
    using(ConfigStore.open(path), (store) => {
      const head = store.head();
      assert.is(head?.number, 2);
      assert.is(head?.author, 'bob');
      assert.is(head?.time, 2_000);
      assert.is(head?.comment, 'call it b');
      assert.equal(head?.document, named('b'));
      assert.is(head?.digest, sha256(canonicalJson(named('b'))));
      assert.is(formatChanges(head?.changes ?? []), '~ unit.name: a → b');
      assert.equal(store.revision(1).document, named('a'));
      throws('no-such-revision', /no revision 3/, () => store.revision(3));
    });
  },
);

stores('text of every kind survives', ({ path }) => {
  const comment = 'é 漢 😀 \u0000 \u2028 "\' \\ \n';
  using(ConfigStore.open(path), (store) => store.commit({ ...by('a'), comment, author: '\u0000' }));
  using(ConfigStore.open(path), (store) => {
    assert.is(store.head()?.comment, comment);
    assert.is(store.head()?.author, '\u0000');
    assert.ok(store.integrityCheck().ok);
  });
});

stores('history comes newest first, in pages', ({ path }) => {
  using(ConfigStore.open(path), (store) => {
    for (let number = 1; number <= 7; number++) store.commit(by(`u${number}`));
    const numbers = (options: { limit?: number; before?: number }): number[] =>
      store.history(options).map((revision) => revision.number);
    assert.equal(numbers({ limit: 3 }), [7, 6, 5]);
    assert.equal(numbers({ limit: 3, before: 5 }), [4, 3, 2]);
    assert.equal(numbers({ before: 2 }), [1]);
    assert.not.ok('document' in (store.history()[0] ?? {}), 'a summary has no document');
  });
});

stores('a change made from an older revision is a conflict, and changes nothing', ({ path }) => {
  using(ConfigStore.open(path), (store) => {
    throws('conflict', /newest revision is none, but this change was made from 1/, () =>
      store.commit({ ...by('a'), parent: 1 }),
    );
    store.commit({ ...by('a'), parent: 0 });
    throws('conflict', /newest revision is 1, but this change was made from none/, () =>
      store.commit({ ...by('b'), parent: 0 }),
    );
    assert.is(store.head()?.number, 1);
    assert.is(store.commit({ ...by('b'), parent: 1 }).number, 2);
  });
});

stores('two writers do not overwrite each other', ({ path }) => {
  using(ConfigStore.open(path), (one) => {
    using(ConfigStore.open(path), (two) => {
      one.commit({ ...by('a'), parent: 0 });
      throws('conflict', /newest revision is 1/, () => two.commit({ ...by('b'), parent: 0 }));
      assert.is(two.commit({ ...by('b'), parent: 1 }).number, 2);
      assert.is(one.head()?.number, 2, 'what the other wrote is seen');
      one.commit({ ...by('c'), parent: 2 });
      assert.is(two.head()?.number, 3);
      assert.is(one.head()?.number, 3, 'and what was written here');
    });
  });
});

stores('an unconfirmed revision goes back, also after a restart', ({ path }) => {
  using(ConfigStore.open(path), (store) => {
    throws('nothing-to-return-to', /apply the first one without --confirm/, () =>
      store.commit({ ...by('a'), confirmBy: 5 }),
    );
    assert.is(store.head(), null, 'nothing of the refused commit is left');
    store.commit(by('good'));
    store.commit({ ...by('risky'), confirmBy: 5_000 });
    assert.equal(store.pendingConfirm(), { revision: 2, previous: 1, deadline: 5_000 });
    throws('unconfirmed', /Revision 2 waits to be confirmed/, () => store.commit(by('other')));
  });
  using(ConfigStore.open(path), (store) => {
    assert.equal(store.pendingConfirm(), { revision: 2, previous: 1, deadline: 5_000 });
    const back = store.rollbackPending('weir');
    assert.is(back.number, 3);
    assert.equal(back.document, named('good'));
    assert.is(back.digest, store.revision(1).digest);
    assert.match(back.comment, /Rolled back to revision 1: revision 2 was not confirmed/);
    assert.is(store.pendingConfirm(), null);
    throws('not-pending', /nothing to roll back/, () => store.rollbackPending('weir'));
  });
});

stores('a confirmed revision stays', ({ path }) => {
  using(ConfigStore.open(path), (store) => {
    store.commit(by('a'));
    store.commit({ ...by('b'), confirmBy: 5_000 });
    throws('not-pending', /Revision 2 waits to be confirmed, not 1/, () => store.confirm(1));
    store.confirm(2);
    assert.is(store.pendingConfirm(), null);
    throws('not-pending', /No revision waits/, () => store.confirm(2));
    assert.is(store.commit(by('c')).number, 3);
  });
});

stores('a second unconfirmed revision still goes back to the last confirmed one', ({ path }) => {
  using(ConfigStore.open(path), (store) => {
    store.commit(by('good'));
    store.commit({ ...by('risky'), confirmBy: 5_000 });
    store.commit({ ...by('riskier'), confirmBy: 9_000 });
    assert.equal(store.pendingConfirm(), { revision: 3, previous: 1, deadline: 9_000 });
    assert.equal(store.rollbackPending('weir').document, named('good'));
    store.commit({ ...by('chosen'), confirmBy: 9_000, pendingPrevious: 2 });
    assert.is(store.pendingConfirm()?.previous, 2);
    throws('no-such-revision', /no revision 99/, () =>
      store.commit({ ...by('x'), confirmBy: 1, pendingPrevious: 99 }),
    );
    assert.is(store.head()?.number, 5, 'nothing of the refused commit is left');
  });
});

stores('a closed store says so', ({ path }) => {
  const store = ConfigStore.open(path);
  store.close();
  store.close();
  throws('closed', /is closed/, () => store.head());
});

const newest = migrations.length;

const next: Migration = {
  version: newest + 1,
  title: 'labels',
  migrate: (database) => {
    database.exec(
      'CREATE TABLE labels (revision INTEGER NOT NULL REFERENCES revisions (number), label TEXT NOT NULL) STRICT',
    );
  },
};

stores('a migration comes after a backup of what was before', ({ path, folder }) => {
  using(ConfigStore.open(path), (store) => store.commit(by('a')));
  const now = (): number => Date.UTC(2026, 1, 3, 4, 5, 6, 7);
  using(ConfigStore.open(path, { migrations: [...migrations, next], now }), (store) => {
    assert.equal(store.head()?.document, named('a'));
  });
  const backup = join(folder, `weir.db.backup-v${newest}-2026-02-03T04-05-06-007Z`);
  assert.ok(existsSync(backup), `a backup is there, seen: ${readdirSync(folder).join(', ')}`);
  assert.is(statSync(backup).mode & 0o777, 0o600);
  const copy = new Database(backup, { readonly: true });
  try {
    assert.is(copy.pragma('user_version', { simple: true }), newest, 'of the layout before');
  } finally {
    copy.close();
  }
  using(ConfigStore.open(path, { migrations: [...migrations, next] }), (store) => {
    assert.ok(store.integrityCheck().ok);
  });
  assert.is(
    readdirSync(folder).filter((file) => file.includes('backup')).length,
    1,
    'one backup a migration',
  );
  throws('newer', new RegExp(`layout ${newest + 1}, this build knows ${newest}`), () =>
    ConfigStore.open(path),
  );
});

stores('a migration that fails leaves the store as it was', ({ path }) => {
  using(ConfigStore.open(path), (store) => store.commit(by('a')));
  const broken: Migration = {
    version: newest + 1,
    title: 'broken',
    migrate: (database) => {
      database.exec('DELETE FROM revisions');
      database.exec('CREATE TABLE revisions (again INTEGER)');
    },
  };
  throws('io', /already exists/, () =>
    ConfigStore.open(path, { migrations: [...migrations, broken] }),
  );
  using(ConfigStore.open(path), (store) => {
    assert.equal(store.head()?.document, named('a'));
    assert.ok(store.integrityCheck().ok);
  });
});

stores('migrations are numbered without gaps', () => {
  assert.equal(
    migrations.map((migration) => migration.version),
    migrations.map((_, index) => index + 1),
  );
});

stores('backups made in one instant do not replace each other', ({ path }) => {
  using(ConfigStore.open(path, { now: () => 0 }), (store) => {
    store.commit(by('a'));
    const copies = [store.backup(), store.backup(), store.backup()];
    assert.is(new Set(copies).size, 3);
    for (const copy of copies) {
      using(ConfigStore.open(copy), (opened) => assert.equal(opened.head()?.document, named('a')));
    }
  });
});

stores('every commit is written with synchronous FULL', ({ path }) => {
  using(ConfigStore.open(path), (store) => {
    assert.equal(store.durability(), { journal: 'wal', synchronous: 2, foreignKeys: true });
  });
});

stores.run();
