"""Word lists in the languages that the fonts cover: what texts are built from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Phrases:
    """One language. Sentences are a subject, a verb and an object; titles and labels are by purpose."""

    currency: str
    given: tuple[str, ...]
    surnames: tuple[str, ...]
    streets: tuple[str, ...]
    cities: tuple[str, ...]
    companies: tuple[str, ...]
    items: tuple[str, ...]
    subjects: tuple[str, ...]
    verbs: tuple[str, ...]
    objects: tuple[str, ...]
    months: tuple[str, ...]
    labels: tuple[str, ...]
    symptoms: tuple[str, ...]
    sections: tuple[str, ...]
    skills: tuple[str, ...]
    greetings: tuple[str, ...]
    closings: tuple[str, ...]
    terms: dict[str, str]


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(";"))


def _terms(text: str) -> dict[str, str]:
    return dict(pair.strip().split("=", 1) for pair in text.split(";"))


ENGLISH = Phrases(
    currency="GBP",
    given=_words("Alice; Brian; Carol; David; Emma; Frank; Grace; Henry; Isla; Jack; Laura; Martin; Nora; Oliver"),
    surnames=_words("Adams; Baker; Clarke; Dawson; Ellis; Foster; Graham; Hughes; Jackson; Knight; Lawson; Morris"),
    streets=_words("Station Road; High Street; Church Lane; Mill Hill; Park Avenue; King Street; Victoria Road"),
    cities=_words("LS1 4AP Leeds; BS1 5TR Bristol; YO1 7HH York; M2 5DB Manchester; OX1 3PN Oxford; CB2 1TN Cambridge"),
    companies=_words("Northgate Supplies Ltd; Baker & Sons; Harbour Logistics; Meridian Energy plc; Oakfield Trading"),
    items=_words(
        "Copy paper A4, 5 reams; Service call, two hours; Toner black; Oak desk 160 cm; Travel costs; Monthly fee; "
        "Coffee beans 1 kg; Cable set; Office chair; Software licence; Maintenance; Card payment; Transfer to savings; "
        "Bread; Milk 1 l; Apples; Cheese; Batteries AA; Rent; Salary; Insurance premium; Cash machine; Water and gas"
    ),
    subjects=_words(
        "The annual report; Our customer; The city council; A recent study; The new contract; Every second household; "
        "The board of directors; This method; The proposed model; The committee; Your application; The local team"
    ),
    verbs=_words("shows; confirms; has approved; expects; does not include; reports; describes; has changed; supports"),
    objects=_words(
        "a steady increase in costs over the last year; the northern district; an error below two percent; "
        "the agreed terms of delivery; a larger share of public funding; the results of the earlier measurements; "
        "no further delay in the coming weeks; all documents that were sent in March; the work of forty people"
    ),
    months=_words("January; February; March; April; May; June; July; August; September; October; November; December"),
    labels=_words(
        "Surname; First name; Date of birth; Place of birth; Nationality; Street and number; Postcode, city; "
        "Telephone; E-mail; Occupation; Employer; Tax number; Marital status; Number of children; Vehicle; Remarks"
    ),
    symptoms=_words(
        "Headache; Fever; Cough; Allergies; Diabetes; Asthma; High blood pressure; Smoking; Dizziness; Back pain; "
        "Surgery; Medication; Heart disease; Pregnancy; Nausea; Sleep disorder; Vaccinations; Weight loss"
    ),
    sections=_words("Profile; Experience; Education; Skills; Languages; Projects; Publications; Interests; References"),
    skills=_words(
        "English; Spanish; Spreadsheets; Accounting; Driving licence; Python; First aid; Photography; Sailing"
    ),
    greetings=_words("Dear Sir or Madam,; Dear Ms Clarke,; Dear Mr Hughes,"),
    closings=_words("Yours sincerely,; Kind regards,; Yours faithfully,"),
    terms=_terms(
        "invoice=INVOICE; statement=Account statement; report=Quarterly report; form=Application form; total=Total;"
        "medical=Patient questionnaire; certificate=Certificate of Achievement; date=Date; number=No.; price=Price;"
        "quantity=Qty; text=Description; balance=Balance; debit=Debit; credit=Credit; net=Net; tax=VAT 20 %;"
        "awarded=This is to certify that; paid=PAID; id=IDENTITY CARD; yes=yes; no=no; signature=Signature;"
        "abstract=Abstract; references=References; newspaper=The Daily Courier; thanks=Thank you for your visit!;"
        "page=Page; figure=Figure; patient=Patient; agenda=Results and next steps"
    ),
)

GERMAN = Phrases(
    currency="EUR",
    given=_words("Anna; Björn; Clara; Dieter; Elke; Felix; Greta; Hans; Ines; Jürgen; Katrin; Lukas; Mareike; Sören"),
    surnames=_words("Albrecht; Böhm; Dietrich; Ehlers; Fischer; Günther; Hoffmann; Jäger; Krüger; Lehmann; Schröder"),
    streets=_words("Bahnhofstraße; Gartenweg; Hauptstraße; Lindenallee; Am Mühlbach; Schulstraße; Goetheplatz"),
    cities=_words("04109 Leipzig; 50667 Köln; 80331 München; 20095 Hamburg; 70173 Stuttgart; 28195 Bremen"),
    companies=_words(
        "Nordlicht Handels GmbH; Müller & Söhne KG; Werkzeugbau Stein; Stadtwerke Süd AG; Bürobedarf Lang"
    ),
    items=_words(
        "Kopierpapier A4; Wartung, zwei Stunden; Toner schwarz; Schreibtisch Eiche; Fahrtkosten; Monatsgebühr; "
        "Kaffeebohnen 1 kg; Kabelsatz; Bürostuhl; Softwarelizenz; Kartenzahlung; Dauerauftrag Sparen; Käse; Milch 1 l; "
        "Äpfel; Batterien AA; Miete; Gehalt; Versicherung; Geldautomat; Strom und Gas; Mitgliedsbeitrag"
    ),
    subjects=_words(
        "Der Jahresbericht; Unser Kunde; Der Stadtrat; Eine neue Studie; Der Vertrag; Jeder zweite Haushalt; "
        "Der Vorstand; Dieses Verfahren; Das vorgeschlagene Modell; Der Ausschuss; Ihr Antrag; Die Abteilung"
    ),
    verbs=_words("zeigt; bestätigt; erwartet; enthält; beschreibt; meldet; unterstützt; verändert; begründet"),
    objects=_words(
        "einen stetigen Anstieg der Kosten im letzten Jahr; die Pläne für den nördlichen Bezirk; "
        "die Lieferbedingungen; einen Fehler von unter zwei Prozent; öffentliche Mittel; keine weitere Verzögerung; "
        "die Ergebnisse früherer Messungen; alle Unterlagen aus dem März; die Arbeit von mehr als vierzig Menschen"
    ),
    months=_words("Januar; Februar; März; April; Mai; Juni; Juli; August; September; Oktober; November; Dezember"),
    labels=_words(
        "Name; Vorname; Geburtsdatum; Geburtsort; Staatsangehörigkeit; Straße, Hausnummer; PLZ, Ort; Telefon; E-Mail; "
        "Beruf; Arbeitgeber; Steuernummer; Familienstand; Anzahl Kinder; Kontoinhaber; Kennzeichen; Bemerkungen"
    ),
    symptoms=_words(
        "Kopfschmerzen; Fieber; Husten; Allergien; Diabetes; Asthma; Bluthochdruck; Rauchen; Schwindel; Impfungen; "
        "Rückenschmerzen; Operationen; Medikamente; Herzleiden; Schwangerschaft; Übelkeit; Schlafstörung"
    ),
    sections=_words(
        "Profil; Berufserfahrung; Ausbildung; Kenntnisse; Sprachen; Projekte; Veröffentlichungen; Interessen"
    ),
    skills=_words("Deutsch; Englisch; Buchhaltung; Führerschein; Python; Erste Hilfe; Fotografie; Rudern; Schach"),
    greetings=_words("Sehr geehrte Damen und Herren,; Sehr geehrte Frau Böhm,; Sehr geehrter Herr Jäger,"),
    closings=_words("Mit freundlichen Grüßen; Hochachtungsvoll; Freundliche Grüße"),
    terms=_terms(
        "invoice=RECHNUNG; statement=Kontoauszug; report=Quartalsbericht; form=Antrag; total=Gesamt;"
        "medical=Anamnesebogen; certificate=Urkunde; date=Datum; number=Nr.; price=Preis; quantity=Menge;"
        "text=Bezeichnung; balance=Saldo; debit=Soll; credit=Haben; net=Netto; tax=USt. 19 %;"
        "awarded=Hiermit wird bescheinigt, dass; paid=BEZAHLT; id=PERSONALAUSWEIS; yes=ja; no=nein;"
        "signature=Unterschrift; abstract=Zusammenfassung; references=Literatur; newspaper=Allgemeine Zeitung;"
        "thanks=Vielen Dank für Ihren Einkauf!; page=Seite; figure=Abb.; patient=Patient; agenda=Ziele und Ergebnisse"
    ),
)

FRENCH = Phrases(
    currency="EUR",
    given=_words("Amélie; Bruno; Céline; Denis; Élise; François; Gaëlle; Hugo; Inès; Julien; Léa; Mathieu; Noémie"),
    surnames=_words("Aubert; Bernard; Chevalier; Dupré; Fabre; Girard; Hébert; Lefèvre; Moreau; Perrin; Renaud"),
    streets=_words("rue de la Gare; avenue Foch; place du Marché; rue Pasteur; chemin des Prés; boulevard Carnot"),
    cities=_words("69002 Lyon; 33000 Bordeaux; 31000 Toulouse; 44000 Nantes; 67000 Strasbourg; 59800 Lille"),
    companies=_words(
        "Établissements Moreau; Atelier du Nord SARL; Énergies Réunies SA; Librairie Fabre; Transports Girard"
    ),
    items=_words(
        "Papier A4, 5 ramettes; Dépannage, deux heures; Toner noir; Bureau en chêne; Frais de trajet; Abonnement; "
        "Café en grains; Câbles; Chaise de bureau; Licence; Entretien; Paiement par carte; Virement épargne; Fromage; "
        "Lait 1 l; Pommes; Piles AA; Loyer; Salaire; Assurance; Retrait; Eau et gaz; Cotisation annuelle"
    ),
    subjects=_words(
        "Le rapport annuel; Notre client; Le conseil municipal; Une étude récente; Le nouveau contrat; Ce procédé; "
        "Un ménage sur deux; La direction; Le modèle proposé; La commission; Votre demande; L'équipe locale"
    ),
    verbs=_words("montre; confirme; prévoit; ne comprend pas; décrit; annonce; soutient; a modifié; a retenu"),
    objects=_words(
        "une hausse régulière des coûts depuis un an; les projets du quartier nord; une erreur de deux pour cent; "
        "les conditions de livraison; une part plus grande des fonds publics; aucun retard dans les semaines à venir; "
        "les résultats des mesures précédentes; tous les documents envoyés en mars; le travail de quarante personnes"
    ),
    months=_words("janvier; février; mars; avril; mai; juin; juillet; août; septembre; octobre; novembre; décembre"),
    labels=_words(
        "Nom; Prénom; Date de naissance; Lieu de naissance; Nationalité; Rue et numéro; Code postal, ville; Téléphone; "
        "Courriel; Profession; Employeur; Numéro fiscal; État civil; Nombre d'enfants; Titulaire; Véhicule; Remarques"
    ),
    symptoms=_words(
        "Maux de tête; Fièvre; Toux; Allergies; Diabète; Asthme; Hypertension; Tabac; Vertiges; Mal de dos; Vaccins; "
        "Opérations; Médicaments; Maladie du cœur; Grossesse; Nausées; Insomnie; Perte de poids"
    ),
    sections=_words("Profil; Expérience; Formation; Compétences; Langues; Projets; Publications; Loisirs"),
    skills=_words("Français; Anglais; Comptabilité; Permis B; Python; Secourisme; Photographie; Voile; Échecs"),
    greetings=_words("Madame, Monsieur,; Chère Madame Dupré,; Cher Monsieur Fabre,"),
    closings=_words("Cordialement,; Sincères salutations,; Bien à vous,"),
    terms=_terms(
        "invoice=FACTURE; statement=Relevé de compte; report=Rapport trimestriel; form=Formulaire; total=Total;"
        "medical=Questionnaire médical; certificate=Certificat de réussite; date=Date; number=N°; price=Prix;"
        "quantity=Qté; text=Désignation; balance=Solde; debit=Débit; credit=Crédit; net=HT; tax=TVA 20 %;"
        "awarded=Nous certifions que; paid=PAYÉ; id=CARTE D'IDENTITÉ; yes=oui; no=non; signature=Signature;"
        "abstract=Résumé; references=Références; newspaper=Le Courrier du Jour; thanks=Merci de votre visite !;"
        "page=Page; figure=Fig.; patient=Patient; agenda=Bilan et perspectives"
    ),
)

LANGUAGES = (ENGLISH, GERMAN, FRENCH)
