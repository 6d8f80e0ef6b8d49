/**
 * Start-up order of the daemon, and nothing else: store, network, fast path, monitors,
 * the daemon that ties them together, and last the API, so that whoever reaches the
 * socket reaches a unit that works.
 */
import { mkdirSync } from 'node:fs';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { kernelClock } from '../native/ffi/clock.js';
import { lock } from '../native/ffi/lock-file.js';
import { Poller } from '../native/ffi/poller.js';
import { forbidCoreFiles } from '../native/ffi/privileges.js';
import { AlertStore } from './alerts/alert-store.js';
import { Alerts } from './alerts/alerts.js';
import type { RunningDaemon, StartDaemon } from './api/daemon-options.js';
import { createApi } from './api/server.js';
import { version } from './api/version.js';
import { AccessEntries } from './config/access-entries.js';
import { isProxied } from './config/protocols.js';
import { ConfigStore } from './config/store.js';
import { Access } from './control/access.js';
import { certificateErrors } from './control/certificate-checks.js';
import { detachUnit } from './control/detach.js';
import { Alerting } from './control/alerting.js';
import { AcmeChallenges } from './control/acme-challenges.js';
import { workersOf } from './control/compile-l7.js';
import { acmeIssuer } from './control/acme.js';
import { AccessFiles } from './control/access-files.js';
import { Daemon } from './control/daemon.js';
import { mirrorFlows } from './control/flow-mirroring.js';
import { Certificates } from './control/certificates.js';
import { CookieSecret } from './control/cookie-secret.js';
import { Replication } from './control/replication.js';
import { Host } from './control/host.js';
import { HeartbeatPaths } from './control/heartbeat-paths.js';
import { pairEvent, Pairing, unitName } from './control/pairing.js';
import { ProxySecrets } from './control/proxy-secrets.js';
import { tuner } from './control/tuning.js';
import { Failovers, FAILOVERS_FILE } from './control/failovers.js';
import { Standing } from './control/pair-standing.js';
import { PeerHealth } from './control/peer-health.js';
import { PeerWays } from './control/peer-ways.js';
import { Roles } from './control/roles.js';
import { VRRP_STATE } from './control/end-speaker.js';
import { ChallengeExchange } from './control/shared/challenge-exchange.js';
import { orderPatience } from './control/order-turn.js';
import { StickySharing } from './control/sticky-sharing.js';
import { Sharing } from './control/shared/sharing.js';
import { PeerUpgrade } from './control/peer-upgrade.js';
import { unitPicture } from './control/unit-picture.js';
import { handOver, keeperOf, storesOfSlot } from './control/upgrade-parts.js';
import { Upgrades } from './control/upgrades.js';
import { standbyIntent } from './control/unconfirmed.js';
import { UnitNetwork } from './control/unit-network.js';
import { Users } from './control/users.js';
import type { FlowMirror } from './ha/flows/flow-mirror.js';
import { LiveTraffic } from './control/live.js';
import { Traffic } from './control/traffic-port.js';
import { Watches } from './control/watch/watches.js';
import { Pair } from './ha/pair/pair.js';
import { PairStore } from './ha/pair/store.js';
import { SpeakerProcess } from './ha/vrrp/speaker/speaker-process.js';
import { Monitors } from './health/monitors.js';
import { Prober } from './health/probe.js';
import { L4Tier } from './l4/tier.js';
import { migrateConnections } from './l7/supervisor/migration.js';
import { L7_STATE } from './l7/supervisor/tier-state.js';
import { WorkerTier } from './l7/supervisor/worker-tier.js';
import { MetricsServer } from './metrics/server.js';
import { linkAddresses } from './net/link-addresses.js';
import { Network } from './net/network.js';
import { inspectInterface } from './offload/fast-path-interface.js';
import { hardwareProfiles } from './offload/examine.js';
import { Profiles, persistentSources, unitTableSizes } from './offload/profiles.js';
import { projectRoot } from './paths.js';
import { HistoryKeeper } from './telemetry/history/keeper.js';
import { HistoryStore } from './telemetry/history/history-store.js';
import { Backups } from './system/backup/backups.js';
import { unitParts } from './system/backup/unit-parts.js';
import { accessLogsOf, finishReset, markReset, resetPending } from './system/factory-reset.js';
import { notify } from './system/notify.js';
import { changePower } from './system/power.js';
import { UnitSystem } from './system/unit-system.js';
import { EventLog } from './telemetry/event-log.js';
import { CertificateStore } from './tls/certificate-store.js';
import { MachineKey } from './tls/machine-key.js';
import { TicketKeys } from './tls/ticket-keys.js';
import { AuditLog } from './users/audit-log.js';
import { UserStore } from './users/user-store.js';

/** Flow events that a CPU may send in a second; what is over is counted. */
const EVENTS_PER_SECOND = 200;
/** How long the whole daemon may wait for somebody else who writes to the store. */
const BUSY_MS = 200;
/** The same on every unit, so that both of a pair pick the same members. */
const HASH_SEED = 0x7765_6972;

export const startDaemon: StartDaemon = async (options): Promise<RunningDaemon> => {
  const log = pino({ level: options.logLevel });
  forbidCoreFiles();
  const closing: (() => void | Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const step of closing.splice(0).reverse()) await step();
  };
  let restart: () => void = () => undefined;
  const restarts = new Promise<void>((resolve) => {
    // The answer to whoever asked goes first; closing lets it finish.
    restart = () => setImmediate(resolve);
  });
  try {
    mkdirSync(options.stateDir, { recursive: true, mode: 0o700 });
    mkdirSync(options.runDir, { recursive: true, mode: 0o755 });
    if (resetPending(options.stateDir)) await detachUnit(options, log);
    closing.push(lock(join(options.stateDir, 'lock')));
    if (finishReset(options)) log.warn('this unit was reset: it begins as a new one');
    const restored = storesOfSlot(options);
    const store = ConfigStore.open(join(options.stateDir, 'weir.db'), { busyTimeout: BUSY_MS });
    closing.push(() => {
      store.close();
    });
    const profiles = Profiles.load();
    const poller = new Poller();
    closing.push(() => {
      poller.close();
    });
    const events = new EventLog({
      onListenerError: (err) => {
        log.error({ err }, 'a listener of the events failed');
      },
    });
    let secrets: ProxySecrets | null = null;
    const proxy = new WorkerTier({
      poller,
      beforeTables: (tables) => secrets?.follow(tables),
      onEvent: (event) => {
        events.append({ kind: 'worker', ...event });
      },
      onOutput: (pid, line) => {
        log.warn({ worker: pid }, line);
      },
      stateFile: join(options.runDir, L7_STATE),
      beforeListening: () => {
        migrateConnections(log);
      },
    });
    closing.push(() => proxy.leave());
    // Before all that takes time here: they load on other CPUs meanwhile.
    const document = store.head()?.document;
    if (document !== undefined && Object.values(document.services ?? {}).some(isProxied))
      proxy.warm(workersOf(document.unit));
    const network = await Network.open({ poller, log });
    closing.push(() => {
      network.close();
    });
    const chosen = unitTableSizes(
      hardwareProfiles(profiles, network),
      profiles.fallback,
      totalmem(),
    );
    const tier = new L4Tier({
      directory: options.bpfDir,
      object: join(projectRoot, 'build/native/bpf/weir.bpf.o'),
      sizes: new Map([
        ['flows', chosen.sizes.flows],
        ['lookup', chosen.sizes['lookup-chunks']],
        ['persistence', persistentSources(chosen.sizes)],
      ]),
      eventsPerSecond: EVENTS_PER_SECOND,
      hashSeed: HASH_SEED,
      onSweepError: (err) => {
        log.error({ err }, 'cannot walk over the flow table; trying again');
      },
    });
    closing.push(() => tier.close());
    tier.startSweeping();
    let daemon: Daemon | null = null;
    let peerHealth: PeerHealth | null = null;
    let peerWays: PeerWays | null = null;
    let challengeExchange: ChallengeExchange | null = null;
    let sticky: StickySharing | null = null;
    let peerUpgrade: PeerUpgrade | null = null;
    const prober = new Prober(poller);
    closing.push(() => {
      prober.close();
    });
    const monitors = new Monitors({
      log,
      probe: prober.probe,
      onChange: () => daemon?.healthChanged(),
      onVerdict: (key, verdict) => peerHealth?.changed(key, verdict),
    });
    closing.push(() => monitors.close());
    const accessEntries = AccessEntries.open(join(options.stateDir, 'access.db'), {
      busyTimeout: BUSY_MS,
    });
    const alerts = new Alerts({
      store: AlertStore.open(join(options.stateDir, 'alerts.db'), {
        busyTimeout: BUSY_MS,
        onError: (err) => {
          log.error({ err }, 'cannot keep alerts on the disk: those that wait end with the daemon');
        },
      }),
      situation: () => daemon?.situation() ?? null,
      version: version(),
      log: { warn: (sentence) => log.warn(sentence), error: (...args) => log.error(...args) },
    });
    closing.push(() => alerts.close());
    closing.push(
      events.subscribe((event) => {
        alerts.event(event);
      }),
    );
    const userStore = UserStore.open(join(options.stateDir, 'users.db'), { busyTimeout: BUSY_MS });
    closing.push(() => {
      userStore.close();
    });
    const audit = AuditLog.open(join(options.stateDir, 'audit.db'), { busyTimeout: BUSY_MS });
    closing.push(() => {
      audit.close();
    });
    const users = new Users({
      ...{ store: userStore, audit, events },
      onError: (err) => {
        log.error({ err }, 'cannot keep what is known of users');
      },
    });
    closing.push(() => {
      users.close();
    });
    const access = new Access({
      files: new AccessFiles({
        directory: join(options.stateDir, 'access-lists'),
        onChange: (path) => daemon?.accessChanged(path),
      }),
      entries: accessEntries,
      onChange: () => daemon?.accessChanged(null),
    });
    closing.push(() => {
      access.close();
    });
    const stored = CertificateStore.open(options.stateDir, {
      busyTimeout: BUSY_MS,
      onListenerError: (err) => {
        log.error({ err }, 'a listener of the certificate store failed');
      },
    });
    closing.push(() => {
      stored.close();
    });
    if (stored.problem !== null) log.error(stored.problem);
    // After the certificate store, which makes the machine key on a new unit.
    const pairStore = PairStore.open(options.stateDir, { busyTimeout: BUSY_MS });
    closing.push(() => {
      pairStore.close();
    });
    const host = new Host({
      ...options,
      ...{ poller, events },
      onChange: () => daemon?.hostChanged(),
      onError: (err) => {
        log.error({ err }, 'cannot bring the host to the configuration; trying again');
      },
    });
    closing.push(() => {
      host.close();
    });
    const unitNetwork = new UnitNetwork({
      ...{ poller, host, clock: kernelClock },
      unit: () => daemon?.intent?.unit ?? null,
    });
    closing.push(() => {
      unitNetwork.close();
    });
    let replication: Replication | null = null;
    let sharing: Sharing | null = null;
    let roles: Roles | null = null;
    let paths: HeartbeatPaths | null = null;
    let flows: FlowMirror | null = null;
    const pair = new Pair({
      store: pairStore,
      machineKey: () => MachineKey.open(options.stateDir, false),
      unit: () => unitName(store.head()),
      onNews: (news) => {
        events.append(pairEvent(news));
        replication?.pairNews(news);
        if (news.what === 'up') {
          paths?.linked();
          flows?.linked();
        }
        if (news.what === 'alone') flows?.parted();
        sharing?.heard(news);
        peerHealth?.heard(news);
        peerWays?.heard(news);
        challengeExchange?.heard(news);
        sticky?.heard(news);
        if (news.what === 'together') peerUpgrade?.together();
        daemon?.pairChanged();
      },
      onListenerError: (err) => {
        log.error({ err }, 'what came from the other unit could not be taken');
      },
    });
    closing.push(() => {
      pair.close();
    });
    flows = mirrorFlows({
      ...{ tier, network, pair, file: join(options.runDir, 'flows-of') },
      onEvent: (event) => {
        events.append(event);
      },
      onChange: () => daemon?.pairChanged(),
      onError: (err) => {
        log.error({ err }, 'cannot mirror flows; trying again');
      },
    });
    closing.push(() => flows?.close());
    replication = new Replication({
      store,
      pair,
      unit: () => unitName(store.head()),
      events,
      onError: (err) => {
        log.error({ err }, 'what the other unit said of the configuration could not be taken');
      },
    });
    closing.push(() => replication?.close());
    const challenges: AcmeChallenges = new AcmeChallenges({
      other: () => challengeExchange,
      intent: () => certificates.intent,
      publish: () => {
        secrets?.changed();
        return proxy.secretsTaken();
      },
    });
    const certificates: Certificates = new Certificates({
      store: stored,
      events,
      acme: acmeIssuer({
        store: stored,
        responder: challenges,
        warn: (sentence) => {
          log.warn(sentence);
        },
      }),
      standby: () => standbyIntent(store),
      patience: (spec, info) => orderPatience(pair.state(), spec, info, Date.now()),
      shared: async (name, waiting) => sharing?.certificate(name, waiting) ?? null,
      onError: (err) => {
        log.error({ err }, 'cannot look at the certificates');
      },
    });
    closing.push(() => certificates.close());
    const tickets = new TicketKeys({
      file: join(options.runDir, 'ticket-keys'),
      onChange: () => secrets?.changed(),
      onError: (err) => {
        log.warn(
          { err },
          'cannot keep the keys of session tickets: sessions begin anew after a restart',
        );
      },
    });
    closing.push(() => {
      tickets.close();
    });
    secrets = new ProxySecrets({
      store: stored,
      ticketKeys: () => tickets.keys,
      challenges: () => challenges.shown,
      proxy,
      onProblem: (certificate, err) => {
        log.error({ err, certificate }, 'workers serve without this key');
      },
    });
    closing.push(() => secrets?.close());
    challengeExchange = new ChallengeExchange({
      pair,
      take: (id, challenge) => challenges.take(id, challenge),
      drop: (id) => challenges.drop(id),
      onError: (err) => {
        log.error({ err }, 'cannot answer an authority for the other unit');
      },
    });
    closing.push(() => challengeExchange?.close());
    sticky = new StickySharing({
      pair,
      proxy,
      onMalformed: (why) => {
        log.error(`the other unit sent what is no message about clients: ${why}`);
      },
    });
    closing.push(() => sticky?.close());
    const speaker = {
      ...{ poller, stateFile: join(options.runDir, VRRP_STATE) },
      elsewhere: tier.datapath.elsewhere,
    };
    paths = new HeartbeatPaths({
      ...{ pair, network, store: pairStore },
      machineKey: () => MachineKey.open(options.stateDir, false),
      onChange: () => roles?.pathsChanged(),
      onError: (err) => {
        log.error({ err }, 'cannot agree with the other unit on heartbeats');
      },
    });
    closing.push(() => paths?.close());
    closing.push(network.onChange(() => paths?.networkChanged()));
    roles = new Roles({
      other: () => {
        const name = pair.state().peer?.name;
        if (name === undefined) return null;
        return {
          name,
          natAddresses: flows?.otherNatAddresses ?? [],
          flowsKnown: flows?.state().complete ?? false,
        };
      },
      paths: () => paths?.current ?? null,
      events,
      log,
      start: (hears) => new SpeakerProcess({ ...speaker, ...hears }),
      adopt: (hears) => SpeakerProcess.adopt({ ...speaker, ...hears }),
      failovers: new Failovers(join(options.stateDir, FAILOVERS_FILE), (err) => {
        log.error({ err }, 'what this unit was told to give up is not known any more');
      }),
    });
    closing.push(() => roles?.close());
    await roles.begin();
    const cookies = CookieSecret.open(options.stateDir);
    const watches = new Watches({
      events,
      stateDir: options.stateDir,
      clock: kernelClock,
      peer: () => {
        const { peer, links } = pair.state();
        return peer === null ? null : { name: peer.name, links };
      },
      log,
    });
    closing.push(() => {
      watches.close();
    });
    const tuning =
      options.tune !== true
        ? null
        : tuner({ profiles, network, tier, tableSizes: chosen, datapath: tier.datapath, events });
    const live = new LiveTraffic({ proxy, fastPath: tier });
    const traffic = new Traffic(
      new HistoryKeeper(
        new HistoryStore(join(options.stateDir, 'history.db'), {
          busyTimeout: BUSY_MS,
          onDamage: (message) => {
            events.append({ kind: 'repair', severity: 'warning', message });
          },
          onError: (err) => {
            log.error({ err }, 'cannot keep the history of traffic on the disk; trying again');
          },
        }),
      ),
      tier,
      live,
    );
    closing.push(() => {
      traffic.close();
    });
    sharing = new Sharing({
      pair,
      certificates: stored,
      tickets,
      cookies,
      access: accessEntries,
      users: userStore,
      onAccess: () => {
        access.taken();
      },
      events,
      onCookies: () => daemon?.accessChanged(null),
      onError: (err) => {
        log.error({ err }, 'cannot share with the other unit');
      },
    });
    closing.push(() => sharing?.close());
    peerHealth = new PeerHealth({ pair, monitors, events });
    closing.push(() => peerHealth?.close());
    peerWays = new PeerWays({ pair, events });
    closing.push(() => peerWays?.close());
    const standing = new Standing({ store, replication, flows, sticky, shared: sharing, roles });
    const metrics = new MetricsServer({ source: () => daemon, log });
    closing.push(() => {
      metrics.close();
    });
    const { power } = options;
    const copies = join(options.stateDir, 'backups');
    const paired = (): boolean => pair.state().peer !== null;
    const unit = (): string => unitName(store.head());
    const accessLogs = (): string[] => accessLogsOf(store.head()?.document ?? null);
    const running = (): Daemon => {
      if (daemon === null) throw new Error('the daemon has not begun yet');
      return daemon;
    };
    const system = new UnitSystem({
      backups: new Backups({
        parts: unitParts({
          ...{ certificates: stored, cookies, access: accessEntries, users: userStore },
          paired,
          onChange: () => access.taken(),
        }),
        store,
        apply: (request) => running().apply(request),
        checkCertificates: (intent, also) =>
          certificateErrors(intent, { get: (name) => also.get(name) ?? stored.get(name) }),
        ...{ unit, paired },
        host: host.keys,
        version: version(),
        copies,
      }),
      ...{ events, unit, copies },
      ...(power === undefined ? {} : { power }),
      bundle: {
        version: version(),
        network: () => ({ links: network.links(), addresses: network.addresses() }),
        logs: accessLogs,
      },
      daemon: running,
      markReset: (keepLogs) => {
        markReset(options.stateDir, keepLogs ? [] : accessLogs());
      },
      beginAnew: () => restart(),
      onError: (err) => {
        log.error({ err }, 'the other unit of the pair does not hear of the reset');
      },
    });
    const upgrades = new Upgrades({
      keeper: keeperOf(options, version(), (err) => {
        log.error({ err }, 'this unit cannot be upgraded');
      }),
      version: version(),
      events,
      picture: () => unitPicture(running(), network),
      handOver: (cancel, author) => handOver(running(), cancel, author),
      reboot: power === undefined ? null : () => changePower(power, 'reboot'),
      peer: () => (paired() ? peerUpgrade : null),
      onError: (err) => {
        log.error({ err }, 'an upgrade met what nobody foresaw');
      },
    });
    peerUpgrade = new PeerUpgrade({
      ...upgrades.forPeer(join(options.stateDir, 'upgrade.part')),
      onError: (err) => {
        log.warn(
          { err },
          'the other unit could not be told of an upgrade, or told what is no message',
        );
      },
    });
    closing.push(() => peerUpgrade?.close());
    closing.push(() => upgrades.close());
    closing.push(pair.onSession((session) => peerUpgrade?.attach(session)));
    daemon = new Daemon({
      system,
      store,
      cookies,
      tier,
      proxy,
      network,
      host,
      unitNetwork,
      monitors,
      events,
      access,
      certificates,
      replication,
      pair: new Pairing({
        pair,
        unit: () => unitName(store.head()),
        addresses: () => linkAddresses(network.links(), network.addresses()),
        paths: () => roles?.paths() ?? [],
        onLeave: () => daemon?.pairChanged(),
        events,
        standing: () => standing.view(),
      }),
      upgrades,
      standing,
      peerHealth,
      peerWays,
      alerts: new Alerting(alerts),
      users,
      roles,
      watches,
      traffic,
      live,
      metrics,
      log,
      profiles,
      tableSizes: chosen,
      probe: prober.probe,
      ...(tuning === null ? {} : { tune: (links) => tuning.before(links) }),
      inspect: (link) =>
        inspectInterface(profiles, link, {
          bond: network.bond(link.index),
          interfaces: network.fastPathInterfaces().length,
        }),
    });
    closing.push(() => daemon?.close());
    closing.push(() => {
      alerts.rest();
    });
    poller.add(tier.eventsFd, () => daemon?.eventsReadable());
    await daemon.start();
    replication.start();
    for (const { database, aside } of restored) {
      const message = `${database} is as this version left it; what the other version made of it is ${aside}`;
      events.append({ kind: 'upgrade', severity: 'warning', message });
    }
    await upgrades.begin();
    const api = createApi(daemon, { log, consoleUser: options.consoleUser });
    await api.listen(options.socket, { group: options.group });
    closing.push(() => api.close());
    notify('READY=1');
    return { close, restarts };
  } catch (error) {
    await close();
    throw error;
  }
};
