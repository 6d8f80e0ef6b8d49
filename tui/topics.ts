/**
 * What the daemon is asked for, by where the person is, and what it answered.
 */
import type {
  AccessView,
  AuditRow,
  CertificateDetail,
  CertificateRow,
  ConfigView,
  DropRow,
  FlowRow,
  HardwareReport,
  MemberDetail,
  MemberRow,
  Me,
  NetworkView,
  PairView,
  PoolDetail,
  PoolRow,
  RevisionDetail,
  RevisionRow,
  RouterRow,
  ServiceDetail,
  ServiceRow,
  Status,
  SystemView,
  TierRow,
  TokenRow,
  UserRow,
  TrafficHistory,
  WorkerRow,
  UpgradeView,
} from '../appliance/api/contract.js';
import type { HistorySpan } from '../appliance/api/history-contract.js';
import type { Node } from './config/schema.js';
import type { Model, Place, ScreenName } from './model.js';

/** What the daemon is asked for, and what it answers. */
export interface Answers {
  readonly status: Status;
  readonly services: readonly ServiceRow[];
  readonly pools: readonly PoolRow[];
  readonly members: readonly MemberRow[];
  readonly tiers: readonly TierRow[];
  readonly workers: readonly WorkerRow[];
  readonly drops: readonly DropRow[];
  readonly revisions: readonly RevisionRow[];
  readonly certificates: readonly CertificateRow[];
  readonly service: ServiceDetail;
  readonly pool: PoolDetail;
  readonly member: MemberDetail;
  readonly flows: readonly FlowRow[];
  readonly config: ConfigView;
  readonly schema: Node;
  readonly revision: RevisionDetail;
  readonly certificate: CertificateDetail;
  readonly pair: PairView;
  readonly routers: readonly RouterRow[];
  readonly hardware: HardwareReport;
  readonly access: AccessView;
  readonly me: Me;
  readonly users: readonly UserRow[];
  readonly audit: readonly AuditRow[];
  readonly tokens: readonly TokenRow[];
  readonly traffic: TrafficHistory;
  readonly system: SystemView;
  readonly upgrade: UpgradeView;
  readonly network: NetworkView;
}

export type Topic = keyof Answers;

export interface Answer<T> {
  /** What it answers: path and query. */
  readonly path: string;
  /** Null when the daemon refused; `problem` says why. */
  readonly value: T | null;
  readonly problem: string | null;
  readonly at: number;
}

export type Data = { readonly [T in Topic]?: Answer<Answers[T]> };

/** The answer to what the screen asks now; another one's is none. */
export function answerOf<T extends Topic>(
  model: Model,
  topic: T,
): { readonly value: Answers[T] | null; readonly problem: string | null } {
  const answer: Answer<Answers[T]> | undefined = model.data[topic];
  if (answer === undefined || answer.path !== pathOf(topic, model.place)) {
    return { value: null, problem: null };
  }
  return answer;
}

const FLOWS_SHOWN = 200;
export const FIRST_SPAN: HistorySpan = '10m';

export function memberPath(pool: string, member: string): string {
  return `/v1/pools/${encodeURIComponent(pool)}/members/${encodeURIComponent(member)}`;
}

export function pathOf(topic: Topic, place: Place): string {
  switch (topic) {
    case 'service':
      return `/v1/services/${encodeURIComponent(place.name)}`;
    case 'pool':
      return `/v1/pools/${encodeURIComponent(place.name)}`;
    case 'member':
      return memberPath(place.pool, place.name);
    case 'flows': {
      const of = place.screen === 'service' ? 'service' : 'member';
      const named = place.name === '' ? '' : `&${of}=${encodeURIComponent(place.name)}`;
      return `/v1/flows?limit=${FLOWS_SHOWN}${named}`;
    }
    case 'traffic': {
      const of = place.screen === 'service' ? `service:${place.name}` : 'unit';
      return `/v1/history?of=${encodeURIComponent(of)}&span=${place.span ?? FIRST_SPAN}`;
    }
    case 'revision':
      return `/v1/revisions/${encodeURIComponent(place.name)}`;
    case 'certificate':
      return `/v1/certificates/${encodeURIComponent(place.name)}`;
    case 'revisions':
      return '/v1/revisions?limit=200';
    case 'audit':
      return '/v1/audit?limit=500';
    case 'drops':
      return '/v1/drops?samples=0';
    default:
      return `/v1/${topic}`;
  }
}

/** What a screen shows, besides status and services, which are asked for always. */
const SHOWN: Readonly<Record<ScreenName, readonly Topic[]>> = {
  overview: ['tiers', 'traffic'],
  services: [],
  pools: ['pools'],
  members: ['members'],
  events: [],
  tiers: ['tiers', 'workers', 'drops'],
  revisions: ['revisions'],
  certificates: ['certificates'],
  config: [],
  pair: ['pair', 'routers'],
  system: ['hardware', 'workers', 'system', 'upgrade'],
  network: ['network'],
  live: [],
  audit: ['audit', 'revisions'],
  users: ['users', 'tokens'],
  object: [],
  changes: [],
  editor: [],
  revision: ['revision'],
  certificate: ['certificate'],
  service: ['service', 'flows', 'traffic'],
  pool: ['pool'],
  member: ['member', 'flows'],
  access: ['access'],
  wizard: ['members', 'users', 'network'],
};

const CONFIGURING: ReadonlySet<ScreenName> = new Set<ScreenName>([
  ...(['config', 'object', 'changes', 'editor', 'revisions', 'revision', 'wizard'] as const),
]);

/** The document is large and seldom another one: it is asked for when its revision is. */
function configuring({
  place,
  data,
  draft,
  link,
}: Pick<Model, 'place' | 'data' | 'draft' | 'link'>): Topic[] {
  if (!CONFIGURING.has(place.screen) && draft === null) return [];
  const known = data.config?.value;
  const fresh =
    known !== undefined && known !== null && known.revision === data.status?.value?.revision;
  return [
    ...(fresh ? [] : (['config'] as const)),
    // A daemon that came back may be a newer one.
    ...(data.schema?.value && data.schema.at >= link.since ? [] : (['schema'] as const)),
  ];
}

/** Whether there is anything to say of another unit. */
export function isPaired({ replication, routers }: Status): boolean {
  return replication !== null || routers.master + routers.backup + routers.down > 0;
}

export function wanted(
  model: Pick<Model, 'place' | 'overlay' | 'data' | 'draft' | 'link' | 'wizardOffered'>,
): Topic[] {
  const { place, overlay } = model;
  const first: readonly Topic[] = model.wizardOffered ? [] : ['users'];
  const named: readonly Topic[] = overlay?.kind === 'palette' ? ['pools', 'members'] : [];
  const role = model.data.me?.value?.role ?? 'administrator';
  // To others it is refused, and each refusal would be written down.
  const shown = SHOWN[place.screen].filter((one) => one !== 'audit' || role === 'administrator');
  const status = model.data.status?.value ?? null;
  const pair: readonly Topic[] =
    place.screen === 'overview' && status !== null && isPaired(status) ? ['routers'] : [];
  return [
    ...new Set<Topic>([
      ...(['status', 'services', 'me'] as const),
      ...first,
      ...shown,
      ...pair,
      ...named,
      ...configuring(model),
    ]),
  ];
}
