/**
 * The screens that are one table: services, pools, members. And which row is selected there, for the
 * keys that act on it.
 */
import type { MemberRow, PoolRow, ServiceRow } from '../../appliance/api/contract.js';
import { memberColumns, poolColumns, serviceColumns } from '../columns.js';
import { span, type Line } from '../frame.js';
import { tableState, type Model, type Place } from '../model.js';
import { answerOf } from '../topics.js';
import { arranged, selectedIndex, tableLines, type Column } from '../table.js';
import { accessSheet } from './access.js';
import { auditSheet } from './audit.js';
import { certificateSheet } from './certificates.js';
import { configSheet } from './config.js';
import { historySheet } from './history.js';
import { objectListing } from './object.js';
import { byHealth, waiting } from './overview.js';
import { pairSheet } from './pair.js';
import type { Listing, Sheet } from './sheet.js';
import { userSheet } from './users.js';

/** Screens whose table is made in one place. */
export function sheetOf(model: Model): Sheet | null {
  switch (model.place.screen) {
    case 'config':
      return configSheet(model);
    case 'revisions':
      return historySheet(model);
    case 'pair':
      return pairSheet(model);
    case 'certificates':
      return certificateSheet(model);
    case 'audit':
      return auditSheet(model);
    case 'access':
      return accessSheet(model);
    case 'users':
      return userSheet(model);
    default:
      return null;
  }
}

/** Lines above the first row of a table that fills its screen; null on others. */
export function rowsAbove(model: Model): number | null {
  const plain: readonly Place['screen'][] = ['services', 'pools', 'members'];
  return plain.includes(model.place.screen) ? 2 : (sheetOf(model)?.above ?? null);
}

/** Members of the screen: all, or those of the pool. */
export function membersOf(model: Model): MemberRow[] {
  const ofPool = model.place.screen === 'pool';
  const rows = ofPool
    ? (answerOf(model, 'pool').value?.members ?? [])
    : (answerOf(model, 'members').value ?? []);
  return arranged(rows, memberColumns(model, !ofPool), tableState(model));
}

/** Null on screens without a table. */
export function listing(model: Model): Listing | null {
  const state = tableState(model);
  const of = <Row>(
    rows: readonly Row[],
    columns: number,
    keyOf: (row: Row) => string,
    place: (row: Row) => Place,
  ): Listing => ({
    keys: rows.map(keyOf),
    selected: selectedIndex(rows, keyOf, state),
    columns,
    places: rows.map(place),
  });
  switch (model.place.screen) {
    case 'overview':
      return of(byHealth(answerOf(model, 'services').value ?? []), 0, serviceKey, servicePlace);
    case 'services': {
      const columns = serviceColumns(model);
      const rows = arranged(answerOf(model, 'services').value ?? [], columns, state);
      return of(rows, columns.length, serviceKey, servicePlace);
    }
    case 'pools': {
      const columns = poolColumns(model);
      const rows = arranged(answerOf(model, 'pools').value ?? [], columns, state);
      return of(
        rows,
        columns.length,
        ({ name }) => name,
        ({ name }) => ({ screen: 'pool', name, pool: '' }),
      );
    }
    case 'members':
      return of(membersOf(model), memberColumns(model, true).length, memberKey, memberPlace);
    case 'pool':
      return of(membersOf(model), memberColumns(model, false).length, memberOnly, memberPlace);
    case 'object':
      return objectListing(model);
    default:
      return sheetOf(model)?.listing ?? null;
  }
}

const serviceKey = ({ name }: ServiceRow): string => name;
const servicePlace = ({ name }: ServiceRow): Place => ({ screen: 'service', name, pool: '' });
const memberKey = ({ pool, member }: MemberRow): string => `${pool}/${member}`;
const memberOnly = ({ member }: MemberRow): string => member;
const memberPlace = ({ pool, member }: MemberRow): Place => ({
  screen: 'member',
  name: member,
  pool,
});

/** Key of the selected row, as it is seen; null without rows. */
export function selectedKey(model: Model): string | null {
  const list = listing(model);
  return list?.keys[list.selected] ?? null;
}

/** The member that keys act on: the selected one, or that of the screen. */
export function memberAt(model: Model): { readonly pool: string; readonly member: string } | null {
  const { screen, name, pool } = model.place;
  if (screen === 'member') return { pool, member: name };
  if (screen !== 'members' && screen !== 'pool') return null;
  const list = listing(model);
  const place = list?.places[list.selected];
  return place === undefined ? null : { pool: place.pool, member: place.name };
}

export function tableScreen(model: Model, width: number, height: number): Line[] {
  switch (model.place.screen) {
    case 'services':
      return one<ServiceRow>(
        model,
        answerOf(model, 'services'),
        serviceColumns(model),
        serviceKey,
        {
          ...{ width, height },
          empty: 'No services yet: 7 leads to the configuration, n makes one there.',
        },
      );
    case 'pools':
      return one<PoolRow>(model, answerOf(model, 'pools'), poolColumns(model), ({ name }) => name, {
        ...{ width, height },
        empty: 'No pools yet: 7 leads to the configuration, n makes one there.',
      });
    default:
      return one<MemberRow>(
        model,
        answerOf(model, 'members'),
        memberColumns(model, true),
        memberKey,
        {
          ...{ width, height },
          empty: 'No members yet: 7 leads to the configuration; Enter on a pool adds some.',
        },
      );
  }
}

function one<Row>(
  model: Model,
  answer: { readonly value: readonly Row[] | null; readonly problem: string | null },
  columns: readonly Column<Row>[],
  keyOf: (row: Row) => string,
  of: { readonly width: number; readonly height: number; readonly empty: string },
): Line[] {
  const { look } = model;
  const { value, problem } = answer;
  if (value === null) return problem === null ? waiting(model) : [[span(look, problem, 'bad')]];
  if (value.length === 0) return [[span(look, of.empty)]];
  const state = tableState(model);
  const rows = arranged(value, columns, state);
  const note =
    state.filter === ''
      ? `${value.length} in all`
      : `${rows.length} of ${value.length} match '${state.filter}'; Esc shows all`;
  const lines = tableLines(look, {
    ...{ rows, columns, state, width: of.width },
    height: of.height - 1,
    selected: selectedIndex(rows, keyOf, state),
  });
  return [[span(look, note, 'dim')], ...lines];
}
