/**
 * Connections that nobody has accepted yet move to another socket of the same port when theirs is
 * closed: sysctl net.ipv4.tcp_migrate_req (ip-sysctl.rst of the kernel, 5.14), for both families.
 * So fewer workers lose no connection. It is a setting of the network namespace, and stays.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import type { BaseLogger } from 'pino';

const setting = '/proc/sys/net/ipv4/tcp_migrate_req';

export function migrateConnections(log: Pick<BaseLogger, 'info' | 'warn'>): void {
  try {
    if (readFileSync(setting, 'utf8').trim() === '1') return;
    writeFileSync(setting, '1');
    log.info('set net.ipv4.tcp_migrate_req to 1: fewer workers lose no waiting connection');
  } catch (err) {
    log.warn(
      { err },
      'cannot set net.ipv4.tcp_migrate_req to 1: connections that wait for a worker are lost when there are to be fewer workers',
    );
  }
}
